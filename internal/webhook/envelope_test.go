package webhook_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/webhook"
)

// envelope is the event that API Gateway sends to the function
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
const envelope = `{"version":"2.0","routeKey":"POST /webhook","rawPath":"/webhook","rawQueryString":"",
"headers":{"content-type":"application/json","x-ld-signature":"$SIGNATURE","x-forwarded-for":"203.0.113.1"},
"requestContext":{"requestId":"id-1","http":{"method":"POST","path":"/webhook","sourceIp":"203.0.113.1"},
"timeEpoch":1583348638390},
"body":$BODY,"isBase64Encoded":$ENCODED}`

func inEnvelope(body, signature string, encoded bool) string {
	text, _ := json.Marshal(body)
	flag, _ := json.Marshal(encoded)
	values := strings.NewReplacer("$SIGNATURE", signature, "$BODY", string(text), "$ENCODED", string(flag))
	return values.Replace(envelope)
}

func TestEnvelopes(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(payload))
	urlEncoded := base64.URLEncoding.EncodeToString([]byte("\xff\xfe\xfd"))
	notUTF8 := base64.StdEncoding.EncodeToString([]byte("\xff\x00"))
	good := inEnvelope(payload, sign(payload, secret), false)
	for name, c := range map[string]struct {
		envelope string
		status   int
	}{
		"as text":                     {good, 202},
		"in base64":                   {inEnvelope(encoded, sign(payload, secret), true), 202},
		"in base64 without padding":   {inEnvelope("eA", sign("x", secret), true), 400},
		"in URL base64":               {inEnvelope(urlEncoded, sign("\xff\xfe\xfd", secret), true), 400},
		"text marked as base64":       {inEnvelope(payload, sign(payload, secret), true), 400},
		"base64 marked as text":       {inEnvelope(encoded, sign(payload, secret), false), 401},
		"bytes that are not UTF-8":    {inEnvelope(notUTF8, sign("\xff\x00", secret), true), 202},
		"no body":                     {strings.Replace(good, `"body":`, `"bodies":`, 1), 401},
		"no headers":                  {strings.Replace(good, `"headers":`, `"trailers":`, 1), 401},
		"the header in another case":  {strings.Replace(good, "x-ld-signature", "X-Ld-SIGNATURE", 1), 202},
		"a header that looks like it": {strings.Replace(good, "x-ld-signature", "x-ld-signature ", 1), 401},
		"payload format 1.0":          {strings.NewReplacer(`"http":{"method":"POST",`, `"http":{`).Replace(good), 405},
		"nothing":                     {`{}`, 405},
	} {
		t.Run(name, func(t *testing.T) {
			var e events.APIGatewayV2HTTPRequest
			require.NoError(t, json.Unmarshal([]byte(c.envelope), &e))
			f := newFixture(webhook.Static(secret))
			assert.Equal(t, c.status, f.post(t, e))
			assert.Equal(t, c.status == 202, len(f.queue.sent) == 1)
		})
	}
}

// A replay within five minutes makes no second request. A later replay costs a sync that finds nothing to do. Requests
// with other bodies are never dropped.
func TestReplaysInAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := localaws.New()
		defer cloud.Close()
		name := "requests.fifo"
		fifo := map[string]string{"FifoQueue": "true"}
		queue, err := cloud.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: fifo})
		require.NoError(t, err)
		h := webhook.New(*queue.QueueUrl, webhook.Static(secret), cloud.SQS,
			webhook.Logger(slog.New(slog.DiscardHandler)))
		take := func() (n int) {
			out, err := cloud.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
				QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10,
			})
			require.NoError(t, err)
			for _, m := range out.Messages {
				_, err := cloud.SQS.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{
					QueueUrl: queue.QueueUrl, ReceiptHandle: m.ReceiptHandle,
				})
				require.NoError(t, err)
			}
			return len(out.Messages)
		}
		post := func(body string) {
			response, err := h.Handle(t.Context(), event(body, sign(body, secret)))
			require.NoError(t, err)
			assert.Equal(t, http.StatusAccepted, response.StatusCode)
		}
		for range 3 {
			post(payload)
		}
		post(payload + " ")
		assert.Equal(t, 2, take())
		time.Sleep(4 * time.Minute) // virtual
		post(payload)
		assert.Equal(t, 0, take())
		time.Sleep(2 * time.Minute)
		post(payload)
		assert.Equal(t, 1, take())
	})
}

// FuzzEnvelope looks for a panic, and for a request that is queued without a signature made with the secret.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(inEnvelope(payload, sign(payload, secret), false)))
	f.Add([]byte(inEnvelope(base64.StdEncoding.EncodeToString([]byte(payload)), sign(payload, secret), true)))
	f.Add([]byte(`{"body":null,"headers":null,"requestContext":{"http":{"method":"POST"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e events.APIGatewayV2HTTPRequest
		if json.Unmarshal(text, &e) != nil {
			return // Lambda's runtime refuses it
		}
		fixture := newFixture(webhook.Static(secret))
		r, err := fixture.Handle(context.Background(), e)
		require.NoError(t, err)
		assert.Contains(t, []int{202, 400, 401, 405, 413}, r.StatusCode)
		body := e.Body
		if e.IsBase64Encoded {
			decoded, _ := base64.StdEncoding.DecodeString(e.Body)
			body = string(decoded)
		}
		signed := false
		for name, value := range e.Headers {
			signed = signed || strings.EqualFold(name, "x-ld-signature") && strings.EqualFold(value, sign(body, secret))
		}
		if len(fixture.queue.sent) > 0 {
			assert.True(t, signed, "a request without a valid signature was queued")
		}
		assert.Equal(t, r.StatusCode == http.StatusAccepted, len(fixture.queue.sent) == 1)
	})
}
