// Command program is what the tests of the kubelet run in a container: it makes a ConfigMap with the pod's own token
// and prints the answer's status.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	token := flag.String("token", "", "the file with the token")
	ca := flag.String("ca", "", "the file with the API server's CA")
	namespace := flag.String("namespace", "", "where the ConfigMap goes")
	flag.Parse()
	status, err := create(*token, *ca, *namespace)
	if err != nil {
		fmt.Fprintln(os.Stderr, "program:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, "the API server answers", status)
}

func create(tokenFile, caFile, namespace string) (status int, err error) {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return 0, err
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return 0, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return 0, errors.New("there is no certificate in " + caFile)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+server+"/api/v1/namespaces/"+namespace+"/configmaps",
		strings.NewReader(`{"metadata":{"name":"from-the-pod"}}`))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}
