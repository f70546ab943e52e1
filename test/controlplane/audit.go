package controlplane

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Request is a request that the API server has received and begun to answer.
type Request struct {
	Received    time.Time
	User        string
	UserAgent   string
	Verb        string // get, list, watch, create, update, patch, delete, deletecollection
	Group       string // of the resource; empty for the core group, and for requests for no resource
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	URI         string
	Code        int // HTTP status
}

type auditEvent struct {
	AuditID   string `json:"auditID"`
	Verb      string `json:"verb"`
	URI       string `json:"requestURI"`
	UserAgent string `json:"userAgent"`
	User      struct {
		Username string `json:"username"`
	} `json:"user"`
	Object struct {
		Group       string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	Response struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Received time.Time `json:"requestReceivedTimestamp"`
}

// Requests lists what user has asked of the API server since a time, in the order of the answers, whichever
// they were. A request is listed once its answer has been sent, a watch once it is established. The control
// plane's own programs are not recorded.
func (c *ControlPlane) Requests(user string, since time.Time) ([]Request, error) {
	content, err := os.ReadFile(c.auditLog())
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	var requests []Request
	seen := map[string]bool{} // a watch has an event when it is established and one when it ends
	for {
		line, rest, complete := bytes.Cut(content, []byte("\n"))
		if !complete { // the API server is writing it
			return requests, nil
		}
		content = rest
		var e auditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if e.User.Username != user || e.Received.Before(since) || seen[e.AuditID] {
			continue
		}
		seen[e.AuditID] = true
		requests = append(requests, Request{
			Received: e.Received, User: e.User.Username, UserAgent: e.UserAgent, Verb: e.Verb, URI: e.URI, Code: e.Response.Code,
			Group: e.Object.Group, Resource: e.Object.Resource, Subresource: e.Object.Subresource,
			Namespace: e.Object.Namespace, Name: e.Object.Name,
		})
	}
}

func (c *ControlPlane) auditLog() string { return filepath.Join(c.LogDir, "audit.log") }
