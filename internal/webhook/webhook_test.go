package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/webhook"
)

const (
	queueURL = "https://sqs.us-east-1.amazonaws.com/123456789012/sync.fifo"
	secret   = "s3cret-Of-LaunchDarkly"
	payload  = `{"_id":"57c0a8e2","kind":"flag","name":"über"}` + "\n"
)

// fakeQueue records sent messages.
type fakeQueue struct {
	mu   sync.Mutex // guards all fields
	sent []*sqs.SendMessageInput
	err  error
}

func (q *fakeQueue) SendMessage(
	_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options),
) (*sqs.SendMessageOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return nil, q.err
	}
	q.sent = append(q.sent, in)
	return &sqs.SendMessageOutput{}, nil
}

func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// event returns a webhook as API Gateway sends it to the function.
func event(body, signature string) events.APIGatewayV2HTTPRequest {
	headers := map[string]string{"content-type": "application/json", "x-ld-signature": signature}
	e := events.APIGatewayV2HTTPRequest{Headers: headers, Body: body}
	e.RequestContext.HTTP.Method = http.MethodPost
	return e
}

// fixture is a handler with its queue and its log.
type fixture struct {
	*webhook.Handler
	queue *fakeQueue
	log   *bytes.Buffer
}

func newFixture(secrets webhook.Secrets, options ...webhook.Option) fixture {
	f := fixture{queue: &fakeQueue{}, log: &bytes.Buffer{}}
	f.Handler = webhook.New(queueURL, secrets, f.queue,
		append([]webhook.Option{webhook.Logger(slog.New(slog.NewJSONHandler(f.log, nil)))}, options...)...)
	return f
}

func (f fixture) post(t testing.TB, e events.APIGatewayV2HTTPRequest) int {
	t.Helper()
	r, err := f.Handle(context.Background(), e)
	require.NoError(t, err)
	return r.StatusCode
}

func TestQueuesSignedRequests(t *testing.T) {
	sum := sha256.Sum256([]byte(payload))
	id := hex.EncodeToString(sum[:])
	good := event(payload, sign(payload, secret))
	inBase64 := event(base64.StdEncoding.EncodeToString([]byte(payload)), sign(payload, secret))
	inBase64.IsBase64Encoded = true
	header := func(name string) events.APIGatewayV2HTTPRequest {
		e := event(payload, "")
		e.Headers = map[string]string{name: sign(payload, secret)}
		return e
	}
	for name, e := range map[string]events.APIGatewayV2HTTPRequest{
		"as text":              good,
		"in base64":            inBase64,
		"header as sent":       header("X-LD-Signature"),
		"header upper case":    header("X-LD-SIGNATURE"),
		"signature uppercase":  event(payload, strings.ToUpper(sign(payload, secret))),
		"with a second secret": event(payload, sign(payload, "the new one")),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(webhook.Static(secret, "the new one"))
			assert.Equal(t, http.StatusAccepted, f.post(t, e))
			require.Len(t, f.queue.sent, 1)
			in := f.queue.sent[0]
			assert.Equal(t, queueURL, *in.QueueUrl)
			assert.Equal(t, "all", *in.MessageGroupId)
			assert.Equal(t, id+"-all", *in.MessageDeduplicationId)
			assert.JSONEq(t, `{"reason":"webhook","cause":"`+id+`"}`, *in.MessageBody)
			assert.Equal(t, webhook.Stats{Queued: 1}, f.Stats())
			assert.Contains(t, f.log.String(), `"status":202`)
		})
	}
	t.Run("over net/http", func(t *testing.T) {
		f := newFixture(webhook.Static(secret))
		server := httptest.NewServer(f)
		defer server.Close()
		r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(payload))
		require.NoError(t, err)
		r.Header.Set("X-LD-Signature", sign(payload, secret))
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusAccepted, response.StatusCode)
		require.Len(t, f.queue.sent, 1)
		assert.Equal(t, id+"-all", *f.queue.sent[0].MessageDeduplicationId)
	})
	t.Run("empty body", func(t *testing.T) {
		f := newFixture(webhook.Static(secret))
		assert.Equal(t, http.StatusAccepted, f.post(t, event("", sign("", secret))))
	})
}

// The queue drops replays, because equal bodies have equal IDs. Different bodies have different IDs.
func TestEqualBodiesHaveEqualIDs(t *testing.T) {
	f := newFixture(webhook.Static(secret))
	for _, body := range []string{payload, payload, payload + " "} {
		assert.Equal(t, http.StatusAccepted, f.post(t, event(body, sign(body, secret))))
	}
	require.Len(t, f.queue.sent, 3)
	assert.Equal(t, *f.queue.sent[0].MessageDeduplicationId, *f.queue.sent[1].MessageDeduplicationId)
	assert.Equal(t, *f.queue.sent[0].MessageBody, *f.queue.sent[1].MessageBody)
	assert.NotEqual(t, *f.queue.sent[0].MessageDeduplicationId, *f.queue.sent[2].MessageDeduplicationId)
	assert.NotEqual(t, *f.queue.sent[0].MessageBody, *f.queue.sent[2].MessageBody)
}

func TestRefuses(t *testing.T) {
	signature := sign(payload, secret)
	edit := func(change func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
		e := event(payload, signature)
		change(&e)
		return e
	}
	method := func(m string) events.APIGatewayV2HTTPRequest {
		return edit(func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = m })
	}
	huge := strings.Repeat("x", 5<<20+1)
	second := func(e *events.APIGatewayV2HTTPRequest) { e.Headers["X-LD-Signature"] = signature }
	encode := func(e *events.APIGatewayV2HTTPRequest) {
		e.Body = base64.StdEncoding.EncodeToString([]byte(payload))
	}
	for name, c := range map[string]struct {
		event  events.APIGatewayV2HTTPRequest
		status int
	}{
		"GET":                  {method("GET"), 405},
		"PUT":                  {method("PUT"), 405},
		"post in lower case":   {method("post"), 405},
		"no method":            {method(""), 405},
		"no signature":         {edit(func(e *events.APIGatewayV2HTTPRequest) { e.Headers = nil }), 401},
		"empty signature":      {event(payload, ""), 401},
		"two signatures":       {edit(second), 401},
		"two in one header":    {event(payload, signature+","+signature), 401},
		"not hex":              {event(payload, strings.Repeat("zz", 32)), 401},
		"base64":               {event(payload, base64.StdEncoding.EncodeToString([]byte(signature))), 401},
		"too short":            {event(payload, signature[:62]), 401},
		"too long":             {event(payload, signature+"00"), 401},
		"blanks around":        {event(payload, " "+signature), 401},
		"a wrong digit":        {event(payload, flip(signature)), 401},
		"of another secret":    {event(payload, sign(payload, "another")), 401},
		"of an empty secret":   {event(payload, sign(payload, "")), 401},
		"of the decoded body":  {edit(encode), 401},
		"body altered":         {event(payload+" ", signature), 401},
		"body without newline": {event(strings.TrimSpace(payload), signature), 401},
		"broken base64":        {edit(func(e *events.APIGatewayV2HTTPRequest) { e.IsBase64Encoded = true }), 400},
		"huge":                 {event(huge, sign(huge, secret)), 413},
		"huge in base64": {edit(func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = strings.Repeat("AAAA", 2<<20), true
		}), 413},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(webhook.Static(secret))
			assert.Equal(t, c.status, f.post(t, c.event))
			assert.Empty(t, f.queue.sent)
			assert.Equal(t, webhook.Stats{Refused: 1}, f.Stats())
			assert.NotContains(t, f.log.String(), secret)
			if c.status == 401 && c.event.Body == payload {
				assert.NotContains(t, f.log.String(), signature, "the expected signature must not be logged")
			}
			assert.Equal(t, 1, strings.Count(f.log.String(), "\n"), "one line for each request")
		})
	}
	t.Run("over net/http", func(t *testing.T) {
		f := newFixture(webhook.Static(secret))
		for status, r := range map[int]*http.Request{
			405: httptest.NewRequest(http.MethodGet, "/", nil),
			401: httptest.NewRequest(http.MethodPost, "/", strings.NewReader(payload)),
			413: httptest.NewRequest(http.MethodPost, "/", strings.NewReader(huge)),
		} {
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			assert.Equal(t, status, w.Code)
		}
		assert.Empty(t, f.queue.sent)
	})
}

func flip(signature string) string {
	last := byte('0')
	if signature[len(signature)-1] == '0' {
		last = '1'
	}
	return signature[:len(signature)-1] + string(last)
}

func TestQueueFails(t *testing.T) {
	f := newFixture(webhook.Static(secret))
	f.queue.err = errors.New("no such queue")
	assert.Equal(t, http.StatusServiceUnavailable, f.post(t, event(payload, sign(payload, secret))))
	assert.Equal(t, webhook.Stats{Failed: 1}, f.Stats())
	assert.Contains(t, f.log.String(), "no such queue")
}

// Without a secret, or with an empty one, every request is refused.
func TestRefusesEmptySecrets(t *testing.T) {
	for name, secrets := range map[string]webhook.Secrets{
		"none":        webhook.Static(),
		"empty":       webhook.Static(""),
		"one of them": webhook.Static("", secret),
		"an error":    func(context.Context, bool) ([]string, error) { return []string{secret}, errors.New("down") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(secrets)
			for _, key := range []string{"", secret} {
				assert.Equal(t, http.StatusServiceUnavailable, f.post(t, event(payload, sign(payload, key))))
			}
			assert.Empty(t, f.queue.sent)
		})
	}
}

// A rotation needs no deployment. Wrong signatures cause at most one read of the secrets in each interval.
func TestReadsSecretsAgainAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		current, refreshes := secret, 0
		held := current
		f := newFixture(func(_ context.Context, refresh bool) ([]string, error) {
			if refresh {
				refreshes++
				held = current
			}
			return []string{held}, nil
		}, webhook.RefreshInterval(time.Minute))

		current = "rotated"
		assert.Equal(t, http.StatusAccepted, f.post(t, event(payload, sign(payload, "rotated"))))
		assert.Equal(t, 1, refreshes)

		for range 10 {
			assert.Equal(t, http.StatusUnauthorized, f.post(t, event(payload, sign(payload, "forged"))))
		}
		assert.Equal(t, 1, refreshes, "at most one in each interval")

		time.Sleep(time.Minute) // virtual
		assert.Equal(t, http.StatusUnauthorized, f.post(t, event(payload, sign(payload, "forged"))))
		assert.Equal(t, 2, refreshes)

		time.Sleep(time.Minute)
		assert.Equal(t, http.StatusUnauthorized, f.post(t, event(payload, "no signature")))
		assert.Equal(t, 2, refreshes, "a malformed signature does not cause a read")
	})
}

func TestWrongOptionsAreReportedTogether(t *testing.T) {
	h := webhook.New("", nil, nil, webhook.Logger(nil), webhook.RefreshInterval(-1))
	_, err := h.Handle(context.Background(), event(payload, sign(payload, secret)))
	for _, problem := range []string{"queue's URL", "secrets", "SQS client", "Logger", "RefreshInterval"} {
		assert.ErrorContains(t, err, problem)
	}
}

// FuzzHandle looks for a panic, and for a request that is queued without its body's signature or refused with it.
func FuzzHandle(f *testing.F) {
	f.Add("POST", payload, sign(payload, secret), false, "x-ld-signature")
	f.Add("POST", base64.StdEncoding.EncodeToString([]byte(payload)), sign(payload, secret), true, "X-LD-Signature")
	f.Add("GET", "", "", false, "")
	f.Fuzz(func(t *testing.T, method, body, signature string, inBase64 bool, header string) {
		e := event(body, "")
		e.Headers, e.IsBase64Encoded = map[string]string{header: signature}, inBase64
		e.RequestContext.HTTP.Method = method
		fixture := newFixture(webhook.Static(secret))
		status := fixture.post(t, e)

		bytes := []byte(body)
		var err error
		if inBase64 {
			bytes, err = base64.StdEncoding.DecodeString(body)
		}
		good := method == "POST" && err == nil && strings.EqualFold(header, "X-LD-Signature") &&
			strings.ToLower(signature) == sign(string(bytes), secret)
		assert.Equal(t, good, status == http.StatusAccepted)
		assert.Equal(t, good, len(fixture.queue.sent) == 1)
	})
}
