package streamhandler_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

// After a failure for one prefix, only that prefix is redelivered: the response names its first record.
func TestOnPublished(t *testing.T) {
	batch := []events.DynamoDBEventRecord{
		rose("1", "a:features", "x", 2), rose("2", "b:features", "x", 2), rose("3", "a:features", "y", 2),
		rose("4", "c:features", "x", 2),
	}
	type set = map[string]bool
	abc := []string{"a", "b", "c"}
	for _, test := range []struct {
		name     string
		fail     []int           // messages that the topic does not accept
		errs     map[string]bool // prefixes for which the function fails
		want     []string
		passedOn []string // prefixes
	}{
		{"receives what was published", nil, nil, nil, abc},
		{"receives what was published in part", []int{1}, nil, []string{"1"}, []string{"b", "c"}},
		{"is not called if nothing was published", []int{1, 2, 3}, nil, []string{"1"}, nil},
		{"fails all prefixes", nil, set{"a": true, "b": true, "c": true}, []string{"1"}, abc},
		{"fails one prefix: the others are done", nil, set{"b": true}, []string{"2"}, abc},
		{"fails the last prefix", nil, set{"c": true}, []string{"4"}, abc},
		{"fails one, and the topic fails another", []int{3}, set{"b": true}, []string{"2"}, []string{"a", "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			topic := &topic{before: failOn(test.fail...)}
			var mu sync.Mutex // guards passedOn and messages
			var passedOn []string
			var messages []change.Message
			h := newHandler(topic, streamhandler.OnPublished(func(_ context.Context, published []change.Message) error {
				mu.Lock()
				defer mu.Unlock()
				passedOn, messages = append(passedOn, published[0].Prefix), append(messages, published...)
				for _, m := range published {
					assert.Equal(t, published[0].Prefix, m.Prefix, "one call has the messages of one prefix")
				}
				if test.errs[published[0].Prefix] {
					return errDown
				}
				return nil
			}))
			response, err := h.Handle(context.Background(), event(t, batch...))
			require.NoError(t, err)
			assert.Equal(t, failures(test.want...), response)
			assert.ElementsMatch(t, test.passedOn, passedOn)
			assert.ElementsMatch(t, topic.messages(t), messages)
			assert.Equal(t, len(test.want), h.Stats().Failures)
			assert.Equal(t, 3-len(test.fail), h.Stats().Messages)
		})
	}
}

// A prefix whose function does not return does not block the others: here each returns only after all were called.
func TestOnPublishedRunsForAllPrefixesAtOnce(t *testing.T) {
	var called sync.WaitGroup
	called.Add(10)
	h := newHandler(&topic{}, streamhandler.OnPublished(func(_ context.Context, published []change.Message) error {
		called.Done()
		called.Wait()
		if published[0].Prefix == "p0" {
			return errDown
		}
		return nil
	}))
	response, err := h.Handle(context.Background(), event(t, prefixes(10)...))
	require.NoError(t, err)
	assert.Equal(t, failures("1"), response)
}

// If OnPublished refuses messages as invalid, it would refuse them for a day. So the refusal is counted and logged, and
// does not block the shard.
func TestOnPublishedThatRefusesDoesNotBlock(t *testing.T) {
	canceled := func(codes ...string) error {
		var reasons []types.CancellationReason
		for _, code := range codes {
			reasons = append(reasons, types.CancellationReason{Code: aws.String(code)})
		}
		return &types.TransactionCanceledException{Message: aws.String("refer to the reasons"),
			CancellationReasons: reasons}
	}
	for name, test := range map[string]struct {
		err     error
		refused bool
	}{
		"an invalid write":                    {&smithy.GenericAPIError{Code: "ValidationException"}, true},
		"a transaction of invalid writes":     {canceled("ValidationError", "ValidationError"), true},
		"a transaction with an invalid write": {canceled("None", "ValidationError"), true},
		"a transaction with another problem":  {canceled("ConditionalCheckFailed", "ValidationError"), false},
		"a throttled transaction":             {canceled("None", "ThrottlingError"), false},
		"a transaction without reasons":       {canceled(), false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			refuses := func(_ context.Context, published []change.Message) error {
				if published[0].Prefix == "b" {
					return &smithy.OperationError{Err: test.err}
				}
				return nil
			}
			h := newHandler(&topic{}, logTo(&log), streamhandler.OnPublished(refuses))
			response, err := h.Handle(context.Background(), event(t,
				rose("1", "a:features", "x", 2), rose("2", "b:features", "x", 2)))
			require.NoError(t, err)
			line := linesOf(t, &log)[0]
			assert.Equal(t, "ERROR", line["level"])
			if !test.refused {
				assert.Equal(t, failures("2"), response)
				assert.Zero(t, h.Stats().NotPassedOn)
				return
			}
			assert.Equal(t, failures(), response)
			assert.Equal(t, 1, h.Stats().NotPassedOn)
			assert.Zero(t, h.Stats().Failures)
			assert.InDelta(t, 1, line["NotPassedOn"], 0)
			assert.Contains(t, line["not_passed_on"], test.err.Error())
		})
	}
}
