package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
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
	switch {
	case f.dryRun != "none" && f.dryRun != "client" && f.dryRun != "server":
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
	if slices.ContainsFunc(problems, func(err error) bool { return err != nil && !errors.As(err, &notReady{}) }) {
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
	was, _, _ := unstructured.NestedFieldNoCopy(before.raw.Object, e.field...)
	done, read := e.done, before
	var after *unstructured.Unstructured
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		after = read.raw.DeepCopy()
		if value == nil {
			unstructured.RemoveNestedField(after.Object, e.field...)
		} else if err := unstructured.SetNestedField(after.Object, value, e.field...); err != nil {
			return err
		}
		if reflect.DeepEqual(after.Object, read.raw.Object) {
			done += " (unchanged)"
			return nil
		}
		options := []client.PatchOption{fieldOwner}
		switch f.dryRun {
		case "client":
			return nil
		case "server":
			options = append(options, client.DryRunAll)
		}
		err := c.Patch(ctx, after, client.MergeFromWithOptions(read.raw, client.MergeFromWithOptimisticLock{}), options...)
		if !apierrors.IsConflict(err) {
			return err
		}
		latest, failed := get(ctx, c, read.kind(), client.ObjectKeyFromObject(read.raw))
		if failed != nil {
			return failed
		}
		now, _, _ := unstructured.NestedFieldNoCopy(latest.raw.Object, e.field...)
		anew, failed := e.value(ctx, c, latest)
		if failed != nil || !reflect.DeepEqual(was, now) || !reflect.DeepEqual(anew, value) {
			return fmt.Errorf("somebody has changed it meanwhile: look at it with `kubectl flexreg status %s -n %s`, and repeat the command", read.argument(), read.Namespace)
		}
		read = latest
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", before, err)
	}
	if f.dryRun != "none" {
		done += map[string]string{"client": " (dry run)", "server": " (server dry run)"}[f.dryRun]
	}
	f.format.NamePrintFlags.Operation = done
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
