package contract

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func snsCases() map[string]func(T, Account) {
	return map[string]func(T, Account){
		"raw delivery to a queue":           rawDelivery,
		"every subscription gets a message": everySubscription,
		"subscriptions":                     subscriptions,
		"PublishBatch":                      publishBatch,
		"PublishBatch counts bytes":         publishBatchBytes,
		"PublishBatch limits":               publishBatchLimits,
		"empty attributes are refused":      emptyAttributes,
		"empty messages are refused":        emptyMessage,
		"long messages are refused":         longMessage,
		"a topic that does not exist":       noTopic,
		"a topic is made once":              topicAgain,
	}
}

const allowTopic = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
	`"Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q,` +
	`"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`

// topic is a topic in the account under test.
type topic struct {
	T
	SNS
	account Account
	arn     *string
}

func newTopic(t T, a Account) *topic {
	t.Helper()
	out, err := a.SNS.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(newName("topic"))})
	require.NoError(t, err)
	return &topic{t, a.SNS, a, out.TopicArn}
}

// subscribe makes a queue that the topic may send to, and subscribes it.
func (p *topic) subscribe() (q *queue, subscription *string) {
	p.Helper()
	q = newQueue(p, p.account, nil)
	p.allow(q, *p.arn)
	out, err := p.Subscribe(p.Context(), &sns.SubscribeInput{
		TopicArn: p.arn, Protocol: aws.String("sqs"), Endpoint: aws.String(q.attribute("QueueArn")),
		Attributes: map[string]string{"RawMessageDelivery": "true"}, ReturnSubscriptionArn: true,
	})
	require.NoError(p, err)
	return q, out.SubscriptionArn
}

func (p *topic) publish(body string, attributes map[string]types.MessageAttributeValue) error {
	_, err := p.Publish(p.Context(), &sns.PublishInput{TopicArn: p.arn, Message: &body, MessageAttributes: attributes})
	return err
}

// change are the attributes that streamhandler sets.
func change() map[string]types.MessageAttributeValue {
	return map[string]types.MessageAttributeValue{
		"prefix": {DataType: aws.String("String"), StringValue: aws.String("prod")},
		"kind":   {DataType: aws.String("String.Array"), StringValue: aws.String(`["features","segments"]`)},
	}
}

// awkward is a text that a service could escape or truncate.
const awkward = "<é> & 😀\n \"{subscription}\" \\u0041"

func rawDelivery(t T, a Account) {
	p := newTopic(t, a)
	q, _ := p.subscribe()
	err := p.publish(awkward, change())
	require.NoError(t, err)
	got := q.receive(1, 5)
	require.Len(t, got, 1)
	assert.Equal(t, awkward, *got[0].Body)
	require.Len(t, got[0].MessageAttributes, 2)
	for name, want := range change() {
		assert.Equal(t, *want.DataType+*want.StringValue,
			*got[0].MessageAttributes[name].DataType+*got[0].MessageAttributes[name].StringValue)
	}
}

func everySubscription(t T, a Account) {
	p := newTopic(t, a)
	queues := []*queue{}
	for range 3 {
		q, _ := p.subscribe()
		queues = append(queues, q)
	}
	late, subscription := p.subscribe()
	_, err := p.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: subscription})
	require.NoError(t, err)
	want := []string{}
	for i := range 20 {
		body := fmt.Sprint(i)
		want = append(want, body)
		err := p.publish(body, nil)
		require.NoError(t, err)
	}
	for _, q := range queues {
		assert.ElementsMatch(t, want, q.drain())
	}
	assert.Empty(t, late.drain(), "it is not subscribed any more")
}

func subscriptions(t T, a Account) {
	p := newTopic(t, a)
	q, arn := p.subscribe()
	assert.True(t, strings.HasPrefix(*arn, *p.arn+":"), *arn)
	again, err := p.Subscribe(t.Context(),
		&sns.SubscribeInput{TopicArn: p.arn, Protocol: aws.String("sqs"), Endpoint: aws.String(q.attribute("QueueArn")),
			Attributes: map[string]string{"RawMessageDelivery": "true"}, ReturnSubscriptionArn: true})
	require.NoError(t, err)
	assert.Equal(t, *arn, *again.SubscriptionArn, "the same endpoint is the same subscription")
	look := func() (*sns.GetSubscriptionAttributesOutput, error) {
		return p.GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: arn})
	}
	got, err := look()
	require.NoError(t, err)
	assert.Equal(t, []string{"true", *p.arn, "sqs", q.attribute("QueueArn"), "false"}, []string{
		got.Attributes["RawMessageDelivery"], got.Attributes["TopicArn"], got.Attributes["Protocol"],
		got.Attributes["Endpoint"], got.Attributes["PendingConfirmation"]})
	_, err = p.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: arn})
	require.NoError(t, err)
	_, err = look()
	assert.Equal(t, "NotFound", codeOf(err))
}

// allow sets a queue's policy so that a topic may send to it.
func (p *topic) allow(q *queue, topicARN string) {
	p.Helper()
	q.set("Policy", fmt.Sprintf(allowTopic, q.attribute("QueueArn"), topicARN))
}

func batchOf(count, size int) (entries []types.PublishBatchRequestEntry) {
	for i := range count {
		entries = append(entries,
			types.PublishBatchRequestEntry{Id: aws.String(fmt.Sprint("id", i)),
				Message: aws.String(strings.Repeat("x", size) + fmt.Sprint(i))})
	}
	return entries
}

func publishBatch(t T, a Account) {
	p := newTopic(t, a)
	q, _ := p.subscribe()
	entries := batchOf(10, 0)
	entries[3].MessageAttributes = change()
	out, err := p.PublishBatch(t.Context(),
		&sns.PublishBatchInput{TopicArn: p.arn, PublishBatchRequestEntries: entries})
	require.NoError(t, err)
	assert.Len(t, out.Successful, 10)
	assert.Empty(t, out.Failed)
	assert.ElementsMatch(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, q.drain())
}

func publishBatchLimits(t T, a Account) {
	p := newTopic(t, a)
	same := batchOf(2, 0)
	same[1].Id = same[0].Id
	for code, entries := range map[string][]types.PublishBatchRequestEntry{
		"TooManyEntriesInBatchRequest": batchOf(11, 0), "BatchEntryIdsNotDistinct": same,
	} {
		_, err := p.PublishBatch(t.Context(),
			&sns.PublishBatchInput{TopicArn: p.arn, PublishBatchRequestEntries: entries})
		assert.Equal(t, code, codeOf(err))
	}
}

func publishBatchBytes(t T, a Account) {
	p := newTopic(t, a)
	for code, entries := range map[string][]types.PublishBatchRequestEntry{"EmptyBatchRequest": {},
		"BatchRequestTooLong": batchOf(2, 128<<10)} {
		_, err := p.PublishBatch(t.Context(),
			&sns.PublishBatchInput{TopicArn: p.arn, PublishBatchRequestEntries: entries})
		assert.Equal(t, code, codeOf(err))
	}
}

func emptyAttributes(t T, a Account) {
	err := newTopic(t, a).publish("x",
		map[string]types.MessageAttributeValue{"prefix": {DataType: aws.String("String"), StringValue: aws.String("")}})
	assert.Equal(t, "ParameterValueInvalid", codeOf(err))
}

func emptyMessage(t T, a Account) {
	err := newTopic(t, a).publish("", nil)
	assert.Equal(t, "InvalidParameter", codeOf(err))
}

func longMessage(t T, a Account) {
	err := newTopic(t, a).publish(strings.Repeat("x", 256<<10+1), nil)
	assert.Equal(t, "InvalidParameter", codeOf(err))
}

func noTopic(t T, a Account) {
	none := aws.String(*newTopic(t, a).arn + "-none")
	errs := map[string]error{}
	_, errs["publish"] = a.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: none, Message: aws.String("x")})
	_, errs["subscribe"] = a.SNS.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: none, Protocol: aws.String("sqs"), Endpoint: aws.String(newQueue(t, a, nil).attribute("QueueArn")),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	refused(t, "NotFound", errs)
}

func topicAgain(t T, a Account) {
	name := aws.String(newName("topic"))
	first, err := a.SNS.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: name})
	require.NoError(t, err)
	again, err := a.SNS.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: name})
	require.NoError(t, err)
	assert.Equal(t, first.TopicArn, again.TopicArn)
}
