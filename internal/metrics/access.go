package metrics

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// What the API server has said of a token counts for remembered, and of so many tokens at a time. It has askTimeout to say it.
const (
	remembered     = time.Minute
	rememberedMost = 256
	askTimeout     = 10 * time.Second
)

// Access serves those who have a token of the cluster and the right to get the URL, as the API server says; anybody else gets 401
// or 403. The one of controller-runtime does the same by k8s.io/apiserver, which would be a third of the operator's program and of
// its memory.
type Access struct{ Clock clock.PassiveClock }

// Filter is a server.Options.FilterProvider.
func (a Access) Filter(config *rest.Config, httpClient *http.Client) (server.Filter, error) {
	tokens, err := authenticationclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server to have tokens reviewed: %w", err)
	}
	rights, err := authorizationclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server to have rights reviewed: %w", err)
	}
	asked := reviews{tokens.TokenReviews(), rights.SubjectAccessReviews(), cache.NewLRUExpireCacheWithClock(rememberedMost, a.Clock)}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, err := asked.status(r)
			if err != nil {
				log.Error(err, "finding out who may get metrics")
			}
			if status != http.StatusOK {
				http.Error(w, http.StatusText(status), status)
				return
			}
			next.ServeHTTP(w, r)
		}), nil
	}, nil
}

// reviews are what the API server is asked for.
type reviews struct {
	tokens authenticationclient.TokenReviewInterface
	rights authorizationclient.SubjectAccessReviewInterface
	known  *cache.LRUExpireCache
}

// status is what is answered: 200 where the request may be served.
func (v reviews) status(r *http.Request) (int, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return http.StatusUnauthorized, nil
	}
	asked := question{strings.ToLower(r.Method), r.URL.Path, sha256.Sum256([]byte(token))}
	if status, is := v.known.Get(asked); is {
		return status.(int), nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	status, err := v.ask(ctx, token, asked)
	if err == nil {
		v.known.Add(asked, status, remembered)
	}
	return status, err
}

// question is what is remembered the answer to.
type question struct {
	verb, path string
	token      [sha256.Size]byte
}

// ask asks the API server whose token it is, and what that one may do. Its errors don't hold the token.
func (v reviews) ask(ctx context.Context, token string, asked question) (int, error) {
	who, err := v.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return http.StatusInternalServerError, fmt.Errorf("creating a TokenReview: %w", err)
	}
	switch {
	case who.Status.Authenticated:
	case who.Status.Error != "": // The token may be wrong, or nobody could be asked.
		return http.StatusUnauthorized, fmt.Errorf("reviewing a token: %s", who.Status.Error)
	default:
		return http.StatusUnauthorized, nil
	}
	user := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	may, err := v.rights.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: asked.verb, Path: asked.path},
	}}, metav1.CreateOptions{})
	if err != nil {
		return http.StatusInternalServerError, fmt.Errorf("creating a SubjectAccessReview for %s: %w", user.Username, err)
	}
	if !may.Status.Allowed || may.Status.Denied {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}
