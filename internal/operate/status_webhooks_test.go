package operate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/webhook"
)

// functions runs the stack's functions, and keeps their log as Lambda does with LogFormat JSON.
type functions struct {
	*stack
	lines bytes.Buffer
}

// logger names time and message as lambdacontext.NewLogger does.
func (f *functions) logger() *slog.Logger {
	names := map[string]string{slog.TimeKey: "timestamp", slog.MessageKey: "message"}
	return slog.New(
		slog.NewJSONHandler(&f.lines, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if name := names[a.Key]; name != "" {
				a.Key = name
			}
			return a
		}}),
	)
}

// webhook sends one, signed with a secret, for an environment; empty: all.
func (f *functions) webhook(secret, prefix string) {
	f.post("{}", map[string]string{"x-ld-signature": webhook.Sign(secret, []byte("{}"))}, prefix)
}

// post sends a request to the function webhook.
func (f *functions) post(body string, headers map[string]string, prefix string) {
	secrets := func(context.Context, bool) ([]string, error) { return []string{"right"}, nil }
	e := events.APIGatewayV2HTTPRequest{Body: body, Headers: headers}
	e.PathParameters = map[string]string{"proxy": prefix}
	e.RequestContext.HTTP.Method = http.MethodPost
	handler := webhook.New(f.Stack.RequestQueueURL, secrets, f.Cloud.SQS, webhook.Logger(f.logger()))
	_, err := handler.Handle(f.t.Context(), e)
	require.NoError(f.t, err)
	f.keep()
}

// request has flagsync handle a request.
func (f *functions) request(body string) {
	keys := flagsync.StaticKeys(map[string]string{"production": key})
	_, err := flagsync.NewHandler(f.Cloud.DynamoDB, "flags", keys, flagsync.Logger(f.logger())).Handle(f.t.Context(),
		events.SQSEvent{Records: []events.SQSMessage{{Body: body}}})
	require.NoError(f.t, err)
	f.keep()
}

// keep moves the lines to the log, among those of Lambda itself.
func (f *functions) keep() {
	f.Log = append(f.Log, "START RequestId: 1 Version: $LATEST")
	f.Log = append(f.Log, strings.Split(strings.TrimSpace(f.lines.String()), "\n")...)
	f.lines.Reset()
}

func TestStatusShowsRefusedWebhooks(t *testing.T) {
	f := &functions{stack: newStack(t)}
	f.webhook("right", "")
	f.webhook("wrong", "")
	f.webhook("wrong", "production")
	r := f.status()
	assert.Equal(t, "PROBLEM: the last webhook was refused with status 401: the signature is wrong", r.Outcome)
	assert.Contains(t, r.Problems[0].Hint, "secret")
	assert.Contains(t, r.Problems[0].Hint, "run: warmflags webhook send --stack flags")
	assert.Equal(t, 2, r.Webhooks.RefusedCount)
	assert.Equal(t, "production", r.Webhooks.Refused.Prefix)

	f.webhook("right", "production")
	r = f.status()
	assert.True(t, r.OK, r.Outcome)
	assert.Equal(t, 2, r.Webhooks.RefusedCount, "it is still shown")
	assert.True(t, r.Webhooks.Accepted.After(r.Webhooks.Refused.Time))
}

// Any program can send requests without a signature: they are counted, and are no problem. Doctor's own is not counted.
func TestStatusCountsRequestsWithoutASignature(t *testing.T) {
	f := &functions{stack: newStack(t)}
	f.webhook("right", "")
	f.post(operate.UnsignedBody, nil, "")
	r := f.status()
	assert.True(t, r.OK, r.Outcome)
	assert.Zero(t, r.Webhooks.RefusedCount)
	assert.Zero(t, r.Webhooks.UnsignedCount)

	f.post("{}", nil, "")
	f.post("{}", nil, "\xff") // refused before the signature is examined
	r = f.status()
	assert.True(t, r.OK, r.Outcome)
	assert.Equal(t, 2, r.Webhooks.UnsignedCount)
	assert.Zero(t, r.Webhooks.RefusedCount)

	f.webhook("wrong", "")
	f.post("{}", nil, "")
	assert.Contains(t, f.status().Outcome, "PROBLEM: the last webhook was refused with status 401: the signature is wrong",
		"a later request without a signature does not hide it")
}

// A function that fails is a problem, whatever it was asked.
func TestStatusShowsAWebhookFunctionThatFails(t *testing.T) {
	f := &functions{stack: newStack(t)}
	handler := webhook.New("", nil, nil, webhook.Logger(f.logger()))
	_, err := handler.Handle(t.Context(), events.APIGatewayV2HTTPRequest{})
	require.Error(t, err, "wrong arguments")
	f.keep()
	assert.Contains(t, f.status().Outcome, "PROBLEM: the last webhook was refused with status 500")
}

func TestStatusShowsWebhooksOfUnknownEnvironments(t *testing.T) {
	f := &functions{stack: newStack(t)}
	f.request(`{"reason":"webhook","prefix":"prodution"}`)
	f.request(`{"reason":"webhook","prefix":"prodution"}`)
	f.request(`{"reason":"test","prefix":"other"}`) // not a webhook's
	r := f.status()
	assert.Equal(t, `PROBLEM: 2 webhooks for environment "prodution", which has no SDK key`, r.Outcome)
	require.Len(t, r.Webhooks.UnknownEnvironments, 1)
	assert.Equal(t, 2, r.Webhooks.UnknownEnvironments[0].Webhooks)

	f.Keys = `{"production": "` + key + `", "prodution": "` + key + `"}`
	r = f.status()
	require.NotEmpty(t, r.Problems)
	for _, p := range r.Problems {
		assert.NotContains(t, p.Problem, "no SDK key", "it has a key now")
	}
}

// Without the keys it is not known which environments exist.
func TestStatusDoesNotJudgeEnvironmentsWithoutKeys(t *testing.T) {
	f := &functions{stack: newStack(t)}
	f.request(`{"reason":"webhook","prefix":"prodution"}`)
	f.Fail = func(operation string) error {
		if operation == "GetParameter" {
			return errors.New("access denied")
		}
		return nil
	}
	r := f.status()
	require.Len(t, r.Problems, 1)
	assert.Contains(t, r.Problems[0].Problem, "the SDK keys cannot be read")
	assert.Len(t, r.Webhooks.UnknownEnvironments, 1, "as the log says")
}
