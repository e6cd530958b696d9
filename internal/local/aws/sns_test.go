package aws_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

func newTopic(t *testing.T, c *localaws.Cloud) *string {
	t.Helper()
	c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	out, err := c.SNS.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("changes")})
	require.NoError(t, err)
	return out.TopicArn
}

const topicPolicy = `{"Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"%s"}}}]}`

// subscribe makes a queue that the topic may send to, and subscribes it.
func subscribe(t *testing.T, c *localaws.Cloud, topic *string, name string, attributes map[string]string) bench {
	t.Helper()
	q := newQueue(t, c, name, map[string]string{"Policy": fmt.Sprintf(topicPolicy, *topic)})
	_, err := c.SNS.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(q.attributes()["QueueArn"]), Attributes: attributes})
	require.NoError(t, err)
	return q
}

func publish(t *testing.T, c *localaws.Cloud, topic *string, text string) string {
	t.Helper()
	out, err := c.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: topic, Message: aws.String(text), MessageAttributes: map[string]types.MessageAttributeValue{
		"kind": {DataType: aws.String("String.Array"), StringValue: aws.String(`["features"]`)},
	}})
	require.NoError(t, err)
	return *out.MessageId
}

func TestTopicToQueues(t *testing.T) {
	c := localaws.New()
	defer c.Close()
	topic := newTopic(t, c)
	raw := subscribe(t, c, topic, "raw", map[string]string{"RawMessageDelivery": "true"})
	enveloped := subscribe(t, c, topic, "enveloped", nil)
	id := publish(t, c, topic, "hello <&> {subscription}")

	m := raw.receive(0)[0]
	assert.Equal(t, "hello <&> {subscription}", *m.Body)
	assert.Equal(t, `["features"]`, *m.MessageAttributes["kind"].StringValue)

	var d map[string]any
	require.NoError(t, json.Unmarshal([]byte(*enveloped.receive(0)[0].Body), &d))
	assert.Equal(t, []any{"Notification", id, *topic, "hello <&> {subscription}", "2"}, []any{d["Type"], d["MessageId"], d["TopicArn"], d["Message"], d["SignatureVersion"]})
	assert.Equal(t, map[string]any{"kind": map[string]any{"Type": "String.Array", "Value": `["features"]`}}, d["MessageAttributes"])
	assert.Contains(t, d["UnsubscribeURL"], *topic)
	assert.NotContains(t, d, "Subject")
	verify(t, c, d, "Message", "MessageId", "Timestamp", "TopicArn", "Type")
}

// verify checks a signature of version 2 over these fields with the account's certificate.
func verify(t *testing.T, c *localaws.Cloud, d map[string]any, fields ...string) {
	t.Helper()
	block, _ := pem.Decode(c.SigningCertificate())
	certificate, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	text := ""
	for _, f := range fields {
		text += f + "\n" + d[f].(string) + "\n"
	}
	signature, err := base64.StdEncoding.DecodeString(d["Signature"].(string))
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(text))
	require.NoError(t, rsa.VerifyPKCS1v15(certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], signature))
}

func TestQueuePolicyDecides(t *testing.T) {
	other := "arn:aws:sns:us-east-1:000000000000:other"
	deny := `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnNotEquals":{"aws:SourceArn":%q}}}]}`
	for name, test := range map[string]struct {
		policy  string
		arrives bool
	}{
		"none":           {"", false},
		"other topic":    {fmt.Sprintf(topicPolicy, other), false},
		"denied":         {fmt.Sprintf(deny, other), false},
		"allowed by ARN": {fmt.Sprintf(topicPolicy, "arn:aws:sns:us-east-1:000000000000:chan*"), true},
		"another queue":  {strings.Replace(fmt.Sprintf(topicPolicy, "*"), `"Resource":"*"`, `"Resource":"arn:aws:sqs:us-east-1:000000000000:p"`, 1), false},
		"this queue":     {strings.Replace(fmt.Sprintf(topicPolicy, "*"), `"Resource":"*"`, `"Resource":"arn:aws:sqs:us-east-1:000000000000:q"`, 1), true},
		"not denied":     {fmt.Sprintf(deny, "arn:aws:sns:us-east-1:000000000000:changes"), true},
	} {
		t.Run(name, func(t *testing.T) {
			c := localaws.New()
			topic := newTopic(t, c)
			q := subscribe(t, c, topic, "q", nil)
			_, err := c.SQS.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: q.url, Attributes: map[string]string{"Policy": test.policy}})
			require.NoError(t, err)
			publish(t, c, topic, "x")
			assert.Len(t, q.receive(0), map[bool]int{true: 1}[test.arrives])
			assert.Equal(t, map[bool]int{false: 1}[test.arrives], c.SNS.Undelivered())
		})
	}
}

func TestPoliciesThatAreRefused(t *testing.T) {
	c := localaws.New()
	q := newQueue(t, c, "q", nil)
	for _, policy := range []string{
		"no JSON",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:*"}]}`,
		`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`,
	} {
		_, err := c.SQS.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: q.url, Attributes: map[string]string{"Policy": policy}})
		assert.ErrorContains(t, err, "Invalid value for the parameter Policy", policy)
	}
}

func TestPublishRefusals(t *testing.T) {
	c := localaws.New()
	topic := newTopic(t, c)
	q := subscribe(t, c, topic, "q", nil)
	attribute := func(dataType, v string) error {
		_, err := c.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: topic, Message: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{
			"prefix": {DataType: aws.String(dataType), StringValue: aws.String(v)},
		}})
		return err
	}
	message := func(text string) error {
		_, err := c.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: topic, Message: aws.String(text)})
		return err
	}
	batch := func(n int, text string) error {
		in := &sns.PublishBatchInput{TopicArn: topic}
		for i := range n {
			in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, types.PublishBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), Message: aws.String(text)})
		}
		_, err := c.SNS.PublishBatch(t.Context(), in)
		return err
	}
	_, noTopic := c.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String("arn:none"), Message: aws.String("x")})
	_, filtered := c.SNS.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:q"), Attributes: map[string]string{"FilterPolicy": "{}"}})
	for name, test := range map[string]struct {
		err  error
		code string
	}{
		"no topic":        {noTopic, "NotFound"},
		"empty attribute": {attribute("String", ""), "ParameterValueInvalid"},
		"no array":        {attribute("String.Array", "x"), "ParameterValueInvalid"},
		"nested array":    {attribute("String.Array", "[[1]]"), "ParameterValueInvalid"},
		"unknown type":    {attribute("Text", "x"), "ParameterValueInvalid"},
		"empty message":   {message(""), "InvalidParameter"},
		"too long":        {message(strings.Repeat("x", 256<<10+1)), "InvalidParameter"},
		"empty batch":     {batch(0, ""), "EmptyBatchRequest"},
		"11 in a batch":   {batch(11, "x"), "TooManyEntriesInBatchRequest"},
		"batch too long":  {batch(2, strings.Repeat("x", 128<<10+1)), "BatchRequestTooLong"},
		"filter policy":   {filtered, "LocalAWSUnsupported"},
	} {
		t.Run(name, func(t *testing.T) { requireCode(t, test.err, test.code, "") })
	}
	require.Empty(t, q.receive(0))
	require.NoError(t, batch(2, strings.Repeat("x", 128<<10)), "exactly 256 KiB")
	require.Len(t, q.receive(0), 2)
}

// endpoint is an HTTP endpoint without a network: it answers with these statuses, the last one again and again.
type endpoint struct {
	statuses []int
	requests []*http.Request
	bodies   []map[string]any
	raw      []string
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var d map[string]any
	_ = json.Unmarshal(b, &d) // a raw body is no JSON
	e.requests, e.bodies, e.raw = append(e.requests, r), append(e.bodies, d), append(e.raw, string(b))
	status := e.statuses[min(len(e.requests), len(e.statuses))-1]
	if status == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
}

func TestTopicToEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		defer c.Close()
		topic := newTopic(t, c)
		e := &endpoint{statuses: []int{0, 200, 200, 503, 200, 403, 500}}
		c.SNS.HTTP = &http.Client{Transport: e}
		in := &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("https"), Endpoint: aws.String("https://example.com/flags")}
		out, err := c.SNS.Subscribe(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, "pending confirmation", *out.SubscriptionArn)
		pass(time.Second)
		publish(t, c, topic, "too early")
		pass(20 * time.Second)
		require.Len(t, e.requests, 2, "tried again after 20 seconds; no message before it is confirmed")
		asked := e.bodies[1]
		require.Equal(t, "SubscriptionConfirmation", e.requests[1].Header.Get("x-amz-sns-message-type"))
		verify(t, c, asked, "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")

		web := &http.Client{Transport: c}
		certificate, err := web.Get(asked["SigningCertURL"].(string))
		require.NoError(t, err)
		text, err := io.ReadAll(certificate.Body)
		require.NoError(t, err)
		require.Equal(t, c.SigningCertificate(), text)
		confirmed, err := web.Get(asked["SubscribeURL"].(string))
		require.NoError(t, err)
		require.Equal(t, 200, confirmed.StatusCode)
		wrong, err := web.Get(strings.Replace(asked["SubscribeURL"].(string), "Token=", "Token=x", 1))
		require.NoError(t, err)
		require.Equal(t, 400, wrong.StatusCode)
		_, err = web.Get("https://example.com/")
		require.Error(t, err)

		publish(t, c, topic, "one")
		pass(0)
		publish(t, c, topic, "two")
		pass(time.Minute)
		require.Len(t, e.requests, 5)
		assert.Equal(t, []any{"one", "two", "two"}, []any{e.bodies[2]["Message"], e.bodies[3]["Message"], e.bodies[4]["Message"]})
		assert.Equal(t, e.bodies[3]["MessageId"], e.bodies[4]["MessageId"])
		verify(t, c, e.bodies[4], "Message", "MessageId", "Timestamp", "TopicArn", "Type")
		assert.Zero(t, c.SNS.Undelivered())

		publish(t, c, topic, "refused")
		pass(time.Hour)
		require.Len(t, e.requests, 6, "what an endpoint refuses is not sent again")
		assert.Equal(t, 1, c.SNS.Undelivered())

		publish(t, c, topic, "three")
		pass(time.Hour)
		require.Len(t, e.requests, 10, "one attempt and three more")
		assert.Equal(t, 2, c.SNS.Undelivered())
	})
}

func TestRawEndpointAndPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		defer c.Close()
		topic := newTopic(t, c)
		e := &endpoint{statuses: []int{200, 500, 200}}
		c.SNS.HTTP = &http.Client{Transport: e}
		out, err := c.SNS.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("http"), Endpoint: aws.String("http://example.com/"), ReturnSubscriptionArn: true, Attributes: map[string]string{
			"RawMessageDelivery": "true", "DeliveryPolicy": `{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1,"numRetries":1}}`,
		}})
		require.NoError(t, err)
		pass(0)
		_, err = c.SNS.ConfirmSubscription(t.Context(), &sns.ConfirmSubscriptionInput{TopicArn: topic, Token: aws.String(e.bodies[0]["Token"].(string))})
		require.NoError(t, err)
		attributes, err := c.SNS.GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: out.SubscriptionArn})
		require.NoError(t, err)
		assert.Equal(t, "false", attributes.Attributes["PendingConfirmation"])
		publish(t, c, topic, "plain")
		pass(time.Second)
		require.Equal(t, []string{"plain", "plain"}, e.raw[1:])
		assert.Equal(t, "true", e.requests[1].Header.Get("x-amz-sns-rawdelivery"))
		assert.Equal(t, *out.SubscriptionArn, e.requests[1].Header.Get("x-amz-sns-subscription-arn"))
	})
}

func TestCloseEndsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		topic := newTopic(t, c)
		q := subscribe(t, c, topic, "q", nil)
		c.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "Deliver" {
				return errors.New("broken")
			}
			return nil
		})
		publish(t, c, topic, "x")
		pass(time.Hour)
		assert.Greater(t, c.Calls("Deliver"), 100)
		c.Close() // the bubble's end would deadlock if a goroutine stayed
		c.Close()
		require.Empty(t, q.receive(0))
	})
}

func TestDeliveryFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		defer c.Close()
		topic := newTopic(t, c)
		q := subscribe(t, c, topic, "q", map[string]string{"RawMessageDelivery": "true"})
		c.Intercept(func(_ context.Context, _ string, input any) error {
			if d, ok := input.(*localaws.Delivery); ok && d.Body == "late" && d.Attempt < 3 {
				return errors.New("broken")
			} else if ok && d.Body == "lost" {
				return localaws.ErrLost
			}
			return nil
		})
		publish(t, c, topic, "late")
		publish(t, c, topic, "lost")
		publish(t, c, topic, "soon")
		require.Equal(t, []string{"soon"}, bodies(q.receive(0)))
		pass(3 * time.Second)
		require.Equal(t, []string{"late"}, bodies(q.receive(0)))
		require.Equal(t, 1, c.SNS.Undelivered())
	})
}

func TestSubscriptions(t *testing.T) {
	c := localaws.New()
	topic := newTopic(t, c)
	q := subscribe(t, c, topic, "q", nil)
	again, err := c.SNS.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(q.attributes()["QueueArn"])})
	require.NoError(t, err)
	list, err := c.SNS.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: topic})
	require.NoError(t, err)
	require.Len(t, list.Subscriptions, 1)
	require.Equal(t, *again.SubscriptionArn, *list.Subscriptions[0].SubscriptionArn)
	_, err = c.SNS.SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{SubscriptionArn: again.SubscriptionArn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true")})
	require.NoError(t, err)
	publish(t, c, topic, "x")
	require.Equal(t, []string{"x"}, bodies(q.receive(0)))

	for range 2 {
		_, err = c.SNS.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: again.SubscriptionArn})
		require.NoError(t, err)
	}
	publish(t, c, topic, "y")
	require.Empty(t, q.receive(0))
	var missing *types.NotFoundException
	_, err = c.SNS.GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: again.SubscriptionArn})
	require.ErrorAs(t, err, &missing)
	_, err = c.SNS.DeleteTopic(t.Context(), &sns.DeleteTopicInput{TopicArn: topic})
	require.NoError(t, err)
	_, err = c.SNS.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: topic})
	require.ErrorAs(t, err, &missing)
}
