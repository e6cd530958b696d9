package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/request"
	"github.com/warmflags/warmflags/internal/webhook"
)

// requireRequest reads the one request that was sent, and checks its group and id.
func requireRequest(t *testing.T, q *fakeQueue) request.Request {
	t.Helper()
	require.Len(t, q.sent, 1)
	r, err := request.Parse(*q.sent[0].MessageBody)
	require.NoError(t, err)
	m, err := r.Message()
	require.NoError(t, err)
	assert.Equal(t, m.Group, *q.sent[0].MessageGroupId)
	assert.Equal(t, m.DeduplicationID, *q.sent[0].MessageDeduplicationId)
	return r
}

// An HTTP API decodes path parameters except for %25, as MiniStack does (https://github.com/ministackorg/ministack).
func TestThePathNamesAnEnvironment(t *testing.T) {
	for proxy, want := range map[string]string{
		"staging": "staging", "staging/": "staging", "eu/production": "eu/production", "a//": "a/",
		"gr\u00f6\u00dfe :-": "gr\u00f6\u00dfe :-", "100%25": "100%", "a+b": "a+b", "all": "all",
	} {
		f := newFixture(webhook.Static(secret))
		e := event(payload, sign(payload, secret))
		e.PathParameters = map[string]string{"proxy": proxy}
		require.Equal(t, http.StatusAccepted, f.post(t, e))
		r := requireRequest(t, f.queue)
		require.NotNil(t, r.Prefix, proxy)
		assert.Equal(t, want, *r.Prefix)
		assert.Contains(t, f.log.String(), `"prefix":"`+want+`"`)
	}
	for _, none := range []map[string]string{nil, {"proxy": ""}, {"proxy": "/"}} {
		f := newFixture(webhook.Static(secret))
		e := event(payload, sign(payload, secret))
		e.PathParameters = none
		require.Equal(t, http.StatusAccepted, f.post(t, e))
		assert.Nil(t, requireRequest(t, f.queue).Prefix, "without a prefix the request is for all environments")
	}
	f := newFixture(webhook.Static(secret))
	e := event(payload, sign(payload, secret))
	e.PathParameters = map[string]string{"proxy": "\xff"}
	assert.Equal(t, http.StatusBadRequest, f.post(t, e))
	assert.Empty(t, f.queue.sent)
}

func TestThePathNamesAnEnvironmentOverHTTP(t *testing.T) {
	for path, want := range map[string]string{
		"/webhook": "", "/webhook/": "", "/webhook/staging": "staging", "/webhook/staging/": "staging",
		"/webhook/eu%2Fproduction": "eu/production", "/webhook/100%25%20gr%C3%B6%C3%9Fe": "100% gr\u00f6\u00dfe",
	} {
		f := newFixture(webhook.Static(secret))
		mux := http.NewServeMux()
		mux.Handle("/webhook", f)
		mux.Handle("/webhook/{proxy...}", f)
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(payload))
		r.Header.Set("X-LD-Signature", sign(payload, secret))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, http.StatusAccepted, w.Code, path)
		got := requireRequest(t, f.queue)
		if want == "" {
			assert.Nil(t, got.Prefix, path)
			continue
		}
		require.NotNil(t, got.Prefix, path)
		assert.Equal(t, want, *got.Prefix)
	}
}
