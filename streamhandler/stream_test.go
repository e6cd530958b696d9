package streamhandler_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/streamfilter"
	"github.com/warmflags/warmflags/streamhandler"
)

// put writes a row as LaunchDarkly's SDKs do. With version 0 it writes a row without an item, as warmflags' own rows
// are.
func put(t *testing.T, cloud *localaws.Cloud, namespace, key string, version int) {
	t.Helper()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	row := map[string]types.AttributeValue{"namespace": text(namespace), "key": text(key)}
	if version > 0 {
		row["version"] = &types.AttributeValueMemberN{Value: strconv.Itoa(version)}
		row["item"] = text(fmt.Sprintf(`{"key":%q,"version":%d}`, key, version))
	}
	_, err := cloud.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: row})
	require.NoError(t, err)
}

// killed is a topic that kills the function in the middle of some batches: at a call after other messages were
// published and before the handler returns.
type killed struct {
	topic
	kills []int // calls
}

func (p *killed) Publish(
	ctx context.Context, in *sns.PublishInput, o ...func(*sns.Options),
) (*sns.PublishOutput, error) {
	p.mu.Lock()
	call := p.calls + 1
	p.mu.Unlock()
	out, err := p.topic.Publish(ctx, in, o...)
	for _, kill := range p.kills {
		if call == kill {
			panic("killed")
		}
	}
	return out, err
}

// The function is killed in the middle of batches, the topic is down for a while, and some records cannot be read. Even
// so, the newest version of every item is published to its prefix and to no other.
func TestAKilledFunctionLosesNothing(t *testing.T) {
	want := map[itemID]int{{"prod", "last"}: 1}
	for i := range 25 {
		want[itemID{"prod", fmt.Sprint("flag-", i)}] = 4
		want[itemID{"stage", fmt.Sprint("flag-", i)}] = 14
	}
	synctest.Test(t, func(t *testing.T) {
		announced, h := announce(t, nil)
		assert.Equal(t, want, announced)
		assert.Positive(t, h.Stats().Failures)
		assert.Greater(t, h.Stats().Records, 202, "some records were redelivered")
	})
	t.Run("can fail", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			announced, _ := announce(t, func(r *events.DynamoDBEventResponse) { r.BatchItemFailures = nil })
			assert.NotEqual(t, want, announced)
		})
	})
}

// announce runs the handler on a stream with four versions of 25 flags in two prefixes, and returns the last published
// version of each flag. If broken is not nil, it changes the handler's responses.
func announce(t *testing.T, broken func(*events.DynamoDBEventResponse)) (map[itemID]int, *streamhandler.Handler) {
	cloud := localaws.New()
	stream := cloud.CreateFlagTable("flags")
	put(t, cloud, "prod:$inited", "prod:$inited", 0)
	put(t, cloud, "prod:", "poison", 1)
	for version := 1; version <= 4; version++ {
		for i := range 25 {
			put(t, cloud, "prod:features", fmt.Sprint("flag-", i), version)
			put(t, cloud, "stage:features", fmt.Sprint("flag-", i), version+10)
		}
	}
	put(t, cloud, "prod:features", "last", 1)

	filter, err := streamfilter.Template()
	require.NoError(t, err)
	topic := &killed{kills: []int{1, 4, 9}}
	topic.before = failOn(3, 6, 7, 10, 15, 16, 17)
	h := newHandler(topic)
	mapping := localaws.StreamMapping{
		Streams: cloud.Streams, StreamARN: stream, BatchSize: 30, Logger: slog.New(slog.DiscardHandler),
		Filter: filter.Match,
		Handler: func(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			response, err := h.Handle(ctx, e)
			if broken != nil {
				broken(&response)
			}
			return response, err
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // virtual time, long after everything is done
	defer cancel()
	require.NoError(t, mapping.Run(ctx))

	announced := map[itemID]int{}
	for _, m := range topic.messages(t) {
		for _, c := range m.Changes {
			announced[itemID{m.Prefix, c.Key}] = c.Version
		}
	}
	return announced, h
}
