package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldOwner is the field manager of everything that this program writes.
const fieldOwner = client.FieldOwner("kubectl-flexreg")

// edit is a change of one field.
type edit struct {
	// done says in the past tense what was done, as kubectl prints it.
	done string
	// field is the path of the field.
	field []string
	// value is what it gets, a string or a bool; nil removes it. An error says why it can't be.
	value func(context.Context, client.Client, *resource) (any, error)
	// reached says that the operator has done what was asked for by the value.
	reached func(r *resource, value any) bool
	// about is the type of the condition that tells how it goes, Ready where it is empty.
	about string
}

// of is the field's value in a resource; nil where it is not there.
func (e edit) of(r *resource) any {
	value, _, _ := unstructured.NestedFieldNoCopy(r.raw.Object, e.field...)
	return value
}

// dryRuns are the values of --dry-run, and what is told of each behind what was done.
var dryRuns = map[string]string{"none": "", "client": " (dry run)", "server": " (server dry run)"}

// editFlags are the flags of all commands that change something.
type editFlags struct {
	dryRun  string
	wait    bool
	timeout time.Duration
	format  *genericclioptions.PrintFlags
}

func (f *editFlags) bind(cmd *cobra.Command) {
	f.format = genericclioptions.NewPrintFlags("")
	f.format.AddFlags(cmd)
	cmd.Flags().StringVar(&f.dryRun, "dry-run", "none", "With client, only print what would be sent; with server, have it checked by the API server and not stored.")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "Wait until the operator has done it, and tell on standard error how far it is.")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 10*time.Minute, "How long to wait with --wait.")
}

func (f *editFlags) check() error {
	switch _, known := dryRuns[f.dryRun]; {
	case !known:
		return fmt.Errorf("--dry-run=%s: write none, client or server", f.dryRun)
	case f.dryRun != "none" && f.wait:
		return errors.New("--wait has nothing to wait for with --dry-run")
	case f.timeout <= 0:
		return fmt.Errorf("--timeout=%s: write a duration above 0, such as 10m", f.timeout)
	}
	return nil
}

// perform makes the edit on all that are selected, one after the other, and then waits for all of them.
func (p *plugin) perform(ctx context.Context, f *editFlags, s *selection, names []string, e edit) error {
	if err := f.check(); err != nil {
		return err
	}
	c, all, err := p.find(ctx, s, names)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("no FlexRegistration is selected")
	}
	if f.wait {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	var waits sync.WaitGroup
	problems := make([]error, len(all))
	for i, before := range all {
		after, value, err := p.change(ctx, c, f, e, before)
		if problems[i] = err; err == nil && f.wait {
			waits.Go(func() { problems[i] = p.await(ctx, c, before, after, e, value) })
		}
	}
	waits.Wait()
	err = errors.Join(problems...)
	if slices.ContainsFunc(problems, func(err error) bool { return err != nil && !errors.As(err, new(notReady)) }) {
		return errors.New(err.Error()) // It is not only an outcome.
	}
	return err
}

// change writes the field, unless somebody else does at the same time: what else was changed meanwhile is no matter.
func (p *plugin) change(ctx context.Context, c client.Client, f *editFlags, e edit, before *resource) (*resource, any, error) {
	value, err := e.value(ctx, c, before)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", before, err)
	}
	unchanged := e.of(before) == value
	if f.dryRun == "server" {
		c = client.NewDryRunClient(c)
	}
	read, after := before, before.raw
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		after = read.raw.DeepCopy()
		if value == nil {
			unstructured.RemoveNestedField(after.Object, e.field...)
		} else if err := unstructured.SetNestedField(after.Object, value, e.field...); err != nil {
			return err
		}
		if unchanged || f.dryRun == "client" {
			return nil
		}
		err := c.Patch(ctx, after, client.MergeFromWithOptions(read.raw, client.MergeFromWithOptimisticLock{}), fieldOwner)
		if !apierrors.IsConflict(err) {
			return err
		}
		latest, failed := get(ctx, c, before.kind(), client.ObjectKeyFromObject(before.raw))
		if failed != nil {
			return failed
		}
		if anew, failed := e.value(ctx, c, latest); failed != nil || anew != value || e.of(latest) != e.of(before) {
			return fmt.Errorf("somebody has changed it meanwhile: look at it with `kubectl flexreg status %s -n %s`, and repeat the command", before.argument(), before.Namespace)
		}
		read = latest
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", before, err)
	}
	f.format.NamePrintFlags.Operation = e.done + when(unchanged, " (unchanged)") + dryRuns[f.dryRun]
	printer, err := f.format.ToPrinter()
	if err != nil {
		return nil, nil, err
	}
	if err := printer.PrintObj(after, p.Out); err != nil {
		return nil, nil, fmt.Errorf("printing %s: %w", before, err)
	}
	r, err := newResource(after)
	return r, value, err
}
