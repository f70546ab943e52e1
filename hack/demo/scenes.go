package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

type scene func(context.Context) error

func tell(ctx context.Context, scenes ...scene) error {
	for _, s := range scenes {
		if err := s(ctx); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
			return err
		}
	}
	return nil
}

func chapter(title string) scene {
	return func(context.Context) error { heading("%s", title); return nil }
}

// show shows a command and what it prints.
func (t *terminal) show(line string) scene {
	return func(ctx context.Context) error {
		fmt.Println("\n$", line)
		command := t.shell(ctx, line)
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		if err := command.Run(); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		return nil
	}
}

// age is a column of kubectl's tables, and always new.
var age = regexp.MustCompile(`^(\d+[smhd])+$`)

// follow shows a command until a line matches the pattern, and only those lines that tell something new.
func (t *terminal) follow(line, until string) scene {
	pattern := regexp.MustCompile(until)
	return func(ctx context.Context) error {
		fmt.Println("\n$", line)
		following, stop := context.WithCancel(ctx)
		defer stop()
		command := t.shell(following, line)
		output, err := command.StdoutPipe()
		if err != nil {
			return err
		}
		command.Stderr = os.Stderr
		if err := command.Start(); err != nil {
			return err
		}
		last, found := "", false
		for lines := bufio.NewScanner(output); !found && lines.Scan(); {
			text := lines.Text()
			if told := strings.Join(slices.DeleteFunc(strings.Fields(text), age.MatchString), " "); told != last {
				fmt.Println(strings.TrimRight(text, " "))
				last = told
			}
			found = pattern.MatchString(text)
		}
		stop()
		_ = command.Wait() // it was stopped
		if !found {
			return fmt.Errorf("%s: it has not shown %s", line, until)
		}
		return nil
	}
}

// hurry has new pods watched for a shorter time than the minute that is the default.
const hurry = `kubectl patch flexregistration ingress -n gateway --type=merge -p '{"spec":{"rollout":{"settle":"3s"}}}'    # in a hurry: 1m is the default`

// Once a day everything is checked that only others can tell. A demo doesn't wait for that.
const (
	rehearse = `kubectl annotate flexregistration ingress -n gateway gateway.flexops.dev/rehearse=now --overwrite`
	proven   = `kubectl wait flexregistration/ingress -n gateway --for=condition=CredentialsValid --for=condition=Rehearsed --for=condition=PlatformVerified --timeout=2m`
	whatIs   = `kubectl get flexreg ingress -n gateway -o go-template='{{range .status.conditions}}{{printf "%-17s %-5s %-10s %s\n" .type .status .reason .message}}{{end}}'`
)
