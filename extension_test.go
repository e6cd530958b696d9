package warmflags_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags"
)

// extensionsAPI is Lambda's API for the extensions of this process.
type extensionsAPI struct {
	registered chan string // has an element for each registration
	asked      chan string // has an element for each request for the next event
	events     chan string // the answers to these requests: JSON
}

// newExtensionsAPI makes this process a Lambda function with an extensions API.
func newExtensionsAPI(t *testing.T) *extensionsAPI {
	asLambda(t)
	api := &extensionsAPI{make(chan string, 10), make(chan string, 10), make(chan string)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/register") {
			api.registered <- r.URL.Path
			w.Header().Set("Lambda-Extension-Identifier", "id")
			_, _ = fmt.Fprint(w, "{}")
			return
		}
		api.asked <- r.URL.Path
		select {
		case event := <-api.events:
			_, _ = fmt.Fprint(w, event)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_LAMBDA_RUNTIME_API", strings.TrimPrefix(server.URL, "http://"))
	return api
}

// sending is a configuration of a client that sends events, and never has any.
func sending() warmflags.Option {
	release := make(chan struct{})
	close(release)
	return warmflags.LaunchDarkly(ld.Config{
		Logging: ldcomponents.NoLogging(), Events: hangingEvents{release: release},
	})
}

// A function whose handler is not wrapped is billed until its timeout if the extension waits for the handler's end.
func TestAnInvocationThatIsNotWrappedIsNotKeptOpen(t *testing.T) {
	api := newExtensionsAPI(t)
	flags := newStack(t).open(sending())
	defer flags.Close(t.Context())
	deadline := time.Now().Add(time.Hour).UnixMilli()
	<-api.asked
	api.events <- fmt.Sprintf(`{"eventType":"INVOKE","requestId":"1","deadlineMs":%d}`, deadline)
	select {
	case <-api.asked:
	case <-time.After(2 * time.Minute): // the deadline is much later
		t.Fatal("the extension does not ask for the next event")
	}
}

// A table that does not answer uses up Open's time limit, so this test takes 3 seconds: an HTTP connection cannot be
// used in virtual time. Events must be sent nevertheless, later.
func TestEventsAreSentAfterAStartWithoutATable(t *testing.T) {
	api := newExtensionsAPI(t)
	s := newStack(t)
	s.Intercept(func(ctx context.Context, _ string, _ any) error { <-ctx.Done(); return ctx.Err() })
	flags := s.open(sending())
	defer flags.Close(t.Context())
	assert.NotContains(t, s.log.String(), "events may be lost")
	assert.Len(t, api.registered, 1)
}
