package platform

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

const (
	// pageSize is the largest that the platform takes.
	pageSize = 100
	// maxPages bounds a listing: 50,000 gateways or replicas.
	maxPages = 500
)

// Status is the state of a gateway or a replica.
type Status string

// The states that are known. A gateway that was deleted stays as a tombstone with the state Deleted; a replica that
// has disconnected stays listed for seven days.
const (
	Connected Status = "CONNECTED"
	Deleted   Status = "DELETED"
)

// Environment is where gateways are.
type Environment struct {
	OrganizationID string `json:"-"` // it is asked by it
	ID             string `json:"id"`
}

// Date is a time as the platform tells it, in UTC. It is zero where the platform tells none, or none that can be read.
type Date struct{ time.Time }

// UnmarshalJSON reads an RFC 3339 time with any number of decimals; seen are two. It never fails, so that one odd date
// does not hide all else.
func (d *Date) UnmarshalJSON(text []byte) error {
	t, err := time.Parse(`"`+time.RFC3339+`"`, string(text))
	if err != nil {
		t = time.Time{}
	}
	d.Time = t.UTC()
	return nil
}

// Gateway is a registered gateway. Its ID is the registration's agentId.
type Gateway struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
}

// Replica is one replica of a gateway, wherever it runs.
type Replica struct {
	ID string `json:"id"`
	// Name is "POD.NAMESPACE", with the namespace "default" where the replica has none.
	Name                      string `json:"name"`
	Status                    Status `json:"status"`
	CertificateExpirationDate Date   `json:"certificateExpirationDate"` // of the certificate that it presents
}

func (g Gateway) identity() string { return g.ID }
func (r Replica) identity() string { return r.ID }

// Organization tells whose the credentials are. Every error of this and of the other calls is an *Error.
func (a *Account) Organization(ctx context.Context) (string, error) {
	q := a.ask("asking whose the credentials are", "me", "/accounts/api/me")
	var me struct {
		Client struct {
			Organization string `json:"org_id"` // of a connected app
		} `json:"client"`
		User struct {
			Organization struct {
				ID string `json:"id"`
			} `json:"organization"`
		} `json:"user"`
	}
	if err := a.get(ctx, q, &me); err != nil {
		return "", err
	}
	id := cmp.Or(me.Client.Organization, me.User.Organization.ID)
	if id == "" {
		return "", q.Invalid("it names no organization")
	}
	return id, nil
}

// Gateways lists the gateways of an environment, tombstones included.
func (a *Account) Gateways(ctx context.Context, in Environment) ([]Gateway, error) {
	return list[Gateway](ctx, a, a.askIn(in, "listing the gateways of the environment", "gateways", "standalone", "gateways"), "")
}

// Gateway tells of one gateway, also of one that was deleted, whose state then is Deleted.
func (a *Account) Gateway(ctx context.Context, in Environment, id string) (Gateway, error) {
	q := a.askGateway(in, "asking for the gateway", "gateway", id, "")
	var g Gateway
	if err := a.get(ctx, q, &g); err != nil {
		return Gateway{}, err
	}
	if g.ID == "" {
		return Gateway{}, q.Invalid("the gateway has no id")
	}
	return g, nil
}

// Replicas lists the connected replicas of a gateway, each once. While some vanish between two pages, the platform may leave out
// others that are there all the time; up to 99 make one page.
func (a *Account) Replicas(ctx context.Context, in Environment, gatewayID string) ([]Replica, error) {
	all, err := list[Replica](ctx, a, a.askGateway(in, "listing the replicas of the gateway", "replicas", gatewayID, "/replicas"), Connected)
	// Should the platform not have kept to the state that was asked for, those that are gone don't count.
	return slices.DeleteFunc(all, func(r Replica) bool { return r.Status != Connected }), err
}

// list gets all pages of what is in a state, or of all if it is "". The end is a page that isn't full; one past the end is empty.
func list[T interface{ identity() string }](ctx context.Context, a *Account, q question, status Status) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, a.client.CallTimeout)
	defer cancel()
	query := url.Values{"pageSize": {strconv.Itoa(pageSize)}}
	if status != "" {
		query.Set("status", string(status))
	}
	all, places := []T{}, map[string]int{}
	for number := range maxPages {
		query.Set("pageNumber", strconv.Itoa(number))
		q.Query = query.Encode()
		var page struct {
			Content  []T `json:"content"`
			PageSize int `json:"pageSize"`
		}
		if err := a.get(ctx, q, &page); err != nil {
			return nil, err
		}
		if page.Content == nil {
			return nil, q.Invalid("it has no content")
		}
		for _, item := range page.Content {
			id := item.identity()
			if id == "" {
				return nil, q.Invalid("something in the list has no id")
			}
			// What comes or goes while we read moves others from page to page: the later word counts.
			if place, seen := places[id]; seen {
				all[place] = item
				continue
			}
			places[id] = len(all)
			all = append(all, item)
		}
		// The platform says which size it took.
		full := pageSize
		if page.PageSize > 0 {
			full = min(full, page.PageSize)
		}
		if len(page.Content) < full {
			return all, nil
		}
	}
	return nil, q.Invalid(fmt.Sprintf("the list has no end within %d pages", maxPages))
}

// question is a request with a token. All of them only read, and are safe to repeat.
type question struct {
	httpclient.Request
	environment, gateway bool   // whether it is about one, which the platform may not have
	scopes               string // what is said where the credentials may not ask it
	wrong                *Error // why it can't be asked
}

func (a *Account) ask(doing, endpoint, path string) question {
	return question{Request: a.Request(doing, endpoint, path), scopes: gatewayScopes}
}

// An id becomes part of a path, so it must be nothing else.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// askIn makes a question about what an API has of an environment.
func (a *Account) askIn(in Environment, doing, endpoint, api, resource string) question {
	q := a.ask(doing, endpoint, fmt.Sprintf("/%s/api/v1/organizations/%s/environments/%s/%s", api, in.OrganizationID, in.ID, resource))
	q.environment = true
	q.Header = http.Header{"X-Anypnt-Org-Id": {in.OrganizationID}, "X-Anypnt-Env-Id": {in.ID}}
	if !plainID.MatchString(in.OrganizationID) || !plainID.MatchString(in.ID) {
		q.wrong = &Error{Class: EnvironmentNotFound, Message: "the id of the organization or of the environment is not one: correct it"}
	}
	return q
}

// askGateway makes a question about one gateway of an environment, or what belongs to it.
func (a *Account) askGateway(in Environment, doing, endpoint, id, belonging string) question {
	q := a.askIn(in, doing, endpoint, "standalone", "gateways/"+id+belonging)
	q.gateway = true
	if q.wrong == nil && !plainID.MatchString(id) {
		q.wrong = &Error{Class: GatewayNotFound, Message: "the gateway's id is not one: correct the registration's agentId"}
	}
	return q
}

// get asks.
func (a *Account) get(ctx context.Context, q question, answer any) error {
	if q.wrong != nil {
		return q.wrong
	}
	q.Refused, q.Decode = q.refused, q.JSON(answer)
	return a.Ask(ctx, func(string) httpclient.Request { return q.Request })
}
