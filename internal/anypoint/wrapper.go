package anypoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// Wrapper renews in a container that has flexctl: it runs an Exec there on what an Attempt's Secret holds.
type Wrapper struct {
	// Flexctl is the program's name on the image's PATH, or its path; Hosts are as Exec's.
	Flexctl string
	Hosts   []string
	// Input is the directory with the attempt, Result the one that the renewed registration is put into, Work one for
	// flexctl's files.
	Input, Result, Work string
	// StartBefore is when it is too late to start flexctl: the operator may have given this attempt up.
	StartBefore time.Time
	// Deadline is how long flexctl may take.
	Deadline time.Duration
	// TerminationLog is the file that the kubelet takes the termination message from.
	TerminationLog string
}

// Run renews, and returns the exit status: 0 where the renewed registration is there. An error is left as termination
// message, and printed.
func (w *Wrapper) Run(ctx context.Context, now time.Time, stderr io.Writer) int {
	err := w.renew(ctx, now)
	if err == nil {
		_, _ = fmt.Fprintln(stderr, "renewed")
		return 0
	}
	var failure *Error
	if !errors.As(err, &failure) {
		failure = &Error{Class: JobNotStarted, Detail: err.Error()}
	}
	_, _ = fmt.Fprintf(stderr, "%s: %s\n", failure.Class, failure.Detail)
	if err := os.WriteFile(w.TerminationLog, failure.terminationMessage(), 0o600); err != nil {
		_, _ = fmt.Fprintln(stderr, "writing the termination message:", err)
	}
	return 1
}

func (w *Wrapper) renew(ctx context.Context, now time.Time) error {
	if !now.Before(w.StartBefore) {
		return &Error{Class: JobNotStarted, Detail: fmt.Sprintf("the pod came up at %s, after this attempt was given up at %s", now.UTC().Format(time.RFC3339), w.StartBefore.UTC().Format(time.RFC3339))}
	}
	attempt, err := readAttempt(w.Input)
	if err != nil {
		return fmt.Errorf("reading the attempt's Secret in the pod: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, w.Deadline)
	defer cancel()
	runner := &Exec{Flexctl: w.Flexctl, Hosts: w.Hosts, Directory: w.Work, Environment: attempt.environment(w.Input)}
	renewed, err := runner.Renew(ctx, attempt.Registration, attempt.Credentials)
	if err != nil {
		return err
	}
	// A new file: to open what flexctl may have put in its place could take for ever.
	result, err := os.OpenFile(filepath.Join(w.Result, registration.DefaultKey), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = result.Write(renewed.Marshal())
		err = errors.Join(err, result.Close())
	}
	if err != nil {
		return &Error{Class: ResultInvalid, Unresolved: true, Detail: "keeping what flexctl wrote: " + pathless(err)}
	}
	return nil
}

// Install copies a program to a path, for a container whose image does not have it.
func Install(program, path string) error {
	content, err := os.ReadFile(program) //nolint:gosec // Both paths are arguments.
	if err == nil {
		err = os.WriteFile(path, content, 0o755) //nolint:gosec // It is a program, on a volume of its own.
	}
	if err != nil {
		return fmt.Errorf("installing %s: %w", program, err)
	}
	return nil
}
