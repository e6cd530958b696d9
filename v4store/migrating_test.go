package v4store_test

import (
	"context"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	v7 "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/subscriber"
	"github.com/warmflags/warmflags/v4store"
)

// The code blocks "after" in docs/migrating.md are copies of the code below, which compiles.
func TestMigratingCompiles(t *testing.T) {
	document, err := os.ReadFile("../docs/migrating.md")
	require.NoError(t, err)
	here, err := os.ReadFile("migrating_test.go")
	require.NoError(t, err)
	indent := regexp.MustCompile(`(?m)^\t+`)
	compiled := indent.ReplaceAllString(strings.ReplaceAll(string(here), "v7.", "ld."), "")
	blocks := 0
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(document), -1) {
		if strings.HasPrefix(block[1], "// before") {
			continue
		}
		blocks++
		assert.Contains(t, compiled, indent.ReplaceAllString(block[1], ""))
	}
	assert.Equal(t, 7, blocks)
}

// The functions below are never called.
var _ = []any{serviceV4, lambdaV4, messageV4, serviceV7, lambdaV7, bigSegmentsV7, evaluateV7}

func serviceV4(ctx context.Context, topicARN string) ld.Config {
	table := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("flags", v4store.Prefix("production"))
	cache := v4store.Cached(table, v4store.TTL(time.Hour))
	go func() { log.Print(subscriber.Queue(topicARN, cache, subscriber.Prefix("production")).Run(ctx)) }()

	config := ld.DefaultConfig
	config.FeatureStore = cache
	config.UseLdd = true
	return config
}

func lambdaV4(handle func(context.Context, string) (bool, error)) ld.Config {
	table := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("flags", v4store.Prefix("production"))
	cache := v4store.Cached(table)
	follower := journal.Follow("flags", cache, journal.Prefix("production"))

	config := ld.DefaultConfig
	config.FeatureStore = cache
	config.UseLdd = true
	// ... ld.MakeCustomClient, once, outside of the handler ...
	lambda.Start(journal.Wrap(follower, handle))
	return config
}

func messageV4(body string, cache change.Sink) error {
	message, err := change.Parse([]byte(body)) // the SNS message: with raw delivery, the queue's message
	if err != nil {
		return err
	}
	if message.Prefix == "production" {
		change.Deliver(message, cache)
	}
	return nil
}

func serviceV7(ctx context.Context, topicARN, sdkKey string) error {
	store := cachedstore.New(dynamostore.DataStore("flags").Prefix("production"), cachedstore.TTL(time.Hour))
	go func() { log.Print(subscriber.Queue(topicARN, store, subscriber.Prefix("production")).Run(ctx)) }()

	client, err := v7.MakeCustomClient(sdkKey, v7.Config{
		DataStore:  store,
		DataSource: ldcomponents.ExternalUpdatesOnly(), // daemon mode
	}, 5*time.Second)
	_ = client
	return err
}

func lambdaV7(sdkKey string, handle func(context.Context, string) (bool, error)) error {
	store := cachedstore.New(dynamostore.DataStore("flags").Prefix("production"))
	follower := journal.Follow("flags", store, journal.Prefix("production"))

	client, err := v7.MakeCustomClient(sdkKey, v7.Config{
		DataStore:  store,
		DataSource: ldcomponents.ExternalUpdatesOnly(), // daemon mode
	}, 5*time.Second)
	if err != nil {
		return err
	}
	if err := follower.FlushEvents(context.Background(), client); err != nil { // after each answer
		return err
	}
	lambda.Start(journal.Wrap(follower, handle))
	return nil
}

func bigSegmentsV7(config v7.Config) v7.Config {
	config.BigSegments = ldcomponents.BigSegments(dynamostore.BigSegmentStore("flags").Prefix("production"))
	return config
}

func evaluateV7(client *v7.LDClient) (bool, error) {
	on, err := client.BoolVariation("new-checkout", ldcontext.New("alice"), false)
	return on, err
}
