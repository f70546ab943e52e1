// Demo shows on this machine alone what a user sees of a renewal: a gateway whose certificate expires, a
// FlexRegistration for it, and what the operator then does. Kubernetes' control plane, the operator and its rights are the
// real ones; Anypoint Platform, flexctl and the gateway's program are simulated. With --node=real all of them run in
// containers, as they would in production; without, the node is simulated too, which every machine can do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// What --node can be.
const (
	nodeSimulated = "simulated"
	nodeReal      = "real"
)

// What --story can be.
const (
	storyRenewal       = "renewal"
	storyExperienceHub = "experience-hub"
)

func main() {
	node := pflag.String("node", nodeSimulated, "what the gateway's pods run on: simulated or real")
	about := pflag.String("story", storyRenewal, "what is told: renewal, or experience-hub on the simulated node")
	keep := pflag.Bool("keep", false, "leave everything running at the end, to look around, until Ctrl-C")
	timeout := pflag.Duration("timeout", 3*time.Minute, "how long the renewal may take once everything is up")
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// What libraries log is about the demo's own doings.
	nothing := zap.New(zap.WriteTo(io.Discard))
	ctrl.SetLogger(nothing)
	klog.SetLogger(nothing)

	var err error
	switch {
	case *about != storyRenewal && (*about != storyExperienceHub || *node != nodeSimulated || *keep):
		err = fmt.Errorf("--story=%s: write %s, or %s without --node and --keep", *about, storyRenewal, storyExperienceHub)
	case *node == nodeSimulated:
		err = runSimulated(ctx, *about, *keep, *timeout)
	case *node == nodeReal && *keep:
		err = errors.New("--keep is for the simulated node: a real one has a network of its own, where nobody can look around")
	case *node == nodeReal:
		err = runReal(ctx, *timeout)
	default:
		err = fmt.Errorf("--node=%s: write %s or %s", *node, nodeSimulated, nodeReal)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// runSimulated brings everything up, tells the story, and leaves nothing behind but the logs of a failure.
func runSimulated(ctx context.Context, about string, keep bool, timeout time.Duration) (err error) {
	w, err := newSimulated()
	if err != nil {
		return err
	}
	defer func() {
		failed := err != nil && !errors.Is(err, errInterrupted)
		if failed && w.operator != nil {
			fmt.Fprintf(os.Stderr, "\nThe operator's last lines:\n%s\n", tail(w.log("manager"), 20))
		}
		err = errors.Join(err, w.tearDown(failed))
		if failed {
			fmt.Fprintf(os.Stderr, "\nAll logs are in %s\n", w.logs)
		}
	}()
	began := time.Now()
	heading("Starting")
	parts, story, end := w.parts(), w.story, "Renewed and rolled out: the certificate is new, every pod was replaced after it, Ready is True"
	if about == storyExperienceHub {
		parts, story, end = w.hubParts(), w.hubStory, "Rotated: Salesforce has the new certificate and only that, Ready is True"
	}
	if err := bringUp(ctx, parts...); err != nil {
		return because(ctx, err)
	}
	// The operator may end while it is needed.
	ctx = w.operator.lifetime(ctx)
	if err = because(ctx, story(ctx, timeout)); err == nil {
		heading("%s (%.0fs)", end, time.Since(began).Seconds())
	}
	if keep && ctx.Err() == nil {
		if err != nil {
			fmt.Println("\nThis went wrong:", err)
		}
		w.explore()
		<-ctx.Done()
		if errors.Is(context.Cause(ctx), errOperatorEnded) {
			err = errors.Join(err, errOperatorEnded)
		}
	}
	return err
}

var errInterrupted = errors.New("interrupted")

// because names what has ended ctx as the reason of an error that is only its consequence.
func because(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil:
		return err
	case errors.Is(context.Cause(ctx), errOperatorEnded):
		return errOperatorEnded
	default:
		return errInterrupted
	}
}

func heading(format string, arguments ...any) { fmt.Printf("\n# "+format+"\n", arguments...) }

// tail gives the last lines of a file.
func tail(path string, lines int) string {
	content, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
