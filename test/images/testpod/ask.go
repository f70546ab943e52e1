package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"k8s.io/client-go/rest"
)

func ask(ctx context.Context, file string, pathsAndStatuses []string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read what the init container has written: %w", err)
	}
	fmt.Printf("the init container has written %q\n", content)
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("find the API server: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	var errs []error
	for i := 0; i < len(pathsAndStatuses); i += 2 {
		errs = append(errs, get(ctx, client, config.Host+pathsAndStatuses[i], pathsAndStatuses[i+1]))
	}
	return errors.Join(errs...)
}

func get(ctx context.Context, client *http.Client, url, want string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", url, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the answer for %s: %w", url, err)
	}
	if strconv.Itoa(response.StatusCode) != want {
		return fmt.Errorf("%s answered %s, want %s: %s", url, response.Status, want, body)
	}
	fmt.Printf("%s answered %s\n", url, response.Status)
	return nil
}
