// Bench measures what the operator costs: memory, CPU, and requests to the API server and to Anypoint, while a fleet is made,
// rests, and is renewed. Kubernetes' control plane is the real one; Anypoint Platform and flexctl are simulated. Where real
// time suffices the built manager runs as a process, elsewhere the operator with a clock that is moved. See docs/scale.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// size says how much is measured.
type size struct {
	N            int `json:"n"`            // registrations
	PerNamespace int `json:"perNamespace"` // registrations in one namespace
	Due          int `json:"due"`          // registrations that are due at once
	Deployments  int `json:"deployments"`  // registrations with a Deployment
}

func main() {
	result := pflag.String("json", "", "a file to write the measurements to, as JSON; none by default")
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// What libraries log is about the bench's own doings.
	nothing := zap.New(zap.WriteTo(io.Discard))
	ctrl.SetLogger(nothing)
	klog.SetLogger(nothing)
	if err := run(ctx, *result); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, result string) (err error) {
	s, err := sizes()
	if err != nil {
		return err
	}
	b := &bench{size: s, report: report{Size: s}, began: time.Now()}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"starting a control plane and a platform, building the operator", b.start},
		{"the installed operator", b.installed},
		{"at rest, and one that fails for ever", b.resting},
		{"one renewal with flexctl in the operator", b.renewalInProcess},
		{"one renewal in a Job", b.renewalInJob},
		{"all due at once", b.backlog},
	} {
		fmt.Fprintf(os.Stderr, "[%3.0fs] %s\n", time.Since(b.began).Seconds(), step.name)
		if err := step.do(ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", step.name, err), b.report.print(os.Stdout))
		}
	}
	b.report.Seconds = time.Since(b.began).Round(time.Second).Seconds()
	if err := b.report.print(os.Stdout); err != nil {
		return err
	}
	if result == "" {
		return nil
	}
	return b.report.write(result)
}

// sizes are those of the environment.
func sizes() (s size, err error) {
	for _, v := range []struct {
		name     string
		of       *int
		fallback func() int
	}{
		{"BENCH_N", &s.N, func() int { return 200 }},
		{"BENCH_PER_NAMESPACE", &s.PerNamespace, func() int { return 20 }},
		{"BENCH_DUE", &s.Due, func() int { return min(s.N, 1000) }},
		{"BENCH_DEPLOYMENTS", &s.Deployments, func() int { return s.N }},
	} {
		text := os.Getenv(v.name)
		if *v.of = v.fallback(); text == "" {
			continue
		}
		if *v.of, err = strconv.Atoi(text); err != nil || *v.of < 1 {
			return s, fmt.Errorf("%s=%s: write a whole number, from 1", v.name, text)
		}
	}
	s.Due, s.Deployments = min(s.Due, s.N), min(s.Deployments, s.N)
	return s, nil
}
