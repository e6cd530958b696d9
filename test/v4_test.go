package test

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	sdk "github.com/launchdarkly/go-server-sdk/v7"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/internal/proof/v4test/suite"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/subscriber"
	"github.com/warmflags/warmflags/test/emulator"
	"github.com/warmflags/warmflags/v4store"
)

// The store for go-client.v4 keeps that SDK's contract, and shares its table with dynamostore, on DynamoDB Local through
// AWS's own SDK v1.
func TestV4StoreSuite(t *testing.T) {
	suite.Run(t, func(t *testing.T) suite.Table {
		table := newFlagTable(t)
		return suite.Table{Name: table, API: emulator.DynamoDB(), V4: func(prefix string, beforeWrite func()) ld.FeatureStore {
			return v4Table(t, table, prefix, beforeWrite)
		}}
	})
}

func v4Table(t *testing.T, table, prefix string, beforeWrite func()) *v4store.Table[ld.VersionedDataKind, ld.VersionedData] {
	t.Helper()
	client := &writingV1{DynamoDBAPI: dynamoDBv1(t), before: beforeWrite}
	return v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData](table, v4store.Prefix(prefix), v4store.Client(client))
}

// dynamoDBv1 is a client of DynamoDB Local of aws-sdk-go v1.
func dynamoDBv1(t *testing.T) *dynamodb.DynamoDB {
	t.Helper()
	s, err := session.NewSession(&aws.Config{
		Region: aws.String(emulator.Region), Endpoint: aws.String(emulator.DynamoDBEndpoint()),
		Credentials: credentials.NewStaticCredentials(emulator.AccessKey, emulator.SecretKey, ""),
	})
	require.NoError(t, err)
	return dynamodb.New(s)
}

// writingV1 is a client that calls before, unless it is nil, before each call that writes.
type writingV1 struct {
	dynamodbiface.DynamoDBAPI
	before func()
}

func (c *writingV1) PutItemWithContext(ctx aws.Context, in *dynamodb.PutItemInput, o ...request.Option) (*dynamodb.PutItemOutput, error) {
	if c.before != nil {
		c.before()
	}
	return c.DynamoDBAPI.PutItemWithContext(ctx, in, o...)
}

func (c *writingV1) TransactWriteItemsWithContext(ctx aws.Context, in *dynamodb.TransactWriteItemsInput, o ...request.Option) (*dynamodb.TransactWriteItemsOutput, error) {
	if c.before != nil {
		c.before()
	}
	return c.DynamoDBAPI.TransactWriteItemsWithContext(ctx, in, o...)
}

// Both generations share a table and a topic: whoever writes, both see it within the same message.
func TestBothGenerationsAreFreshWithinOneMessage(t *testing.T) {
	g := startGenerations(t)
	writerV7, writerV4 := openStore(t, g.table, pathPrefix), v4Table(t, g.table, pathPrefix, nil)
	segment := ldbuilders.NewSegmentBuilder("s").Version(1).Included("alice").Build()
	f := suiteFlag("checkout", 1, "new")
	require.NoError(t, writerV7.Init([]st.SerializedCollection{
		{Kind: segments, Items: []st.KeyedSerializedItemDescriptor{{Key: "s", Item: serialized(segments, 1, &segment)}}},
		{Kind: features, Items: []st.KeyedSerializedItemDescriptor{{Key: "checkout", Item: serialized(features, 1, &f)}}},
	}))
	g.await("features", "checkout", 1)
	g.expect("alice", "new", "v7 fills the table")
	g.expect("bob", "old", "v7 fills the table")

	upsertV7 := func(kind st.DataKind, key string, version int, item any) {
		written, err := writerV7.Upsert(kind, key, serialized(kind, version, item))
		require.NoError(t, err)
		require.True(t, written)
	}
	for _, step := range []struct {
		what, kind, key string
		version         int
		write           func()
		alice, bob      string
	}{
		{"v7 changes the flag", "features", "checkout", 2, func() {
			f := suiteFlag("checkout", 2, "newer")
			upsertV7(features, "checkout", 2, &f)
		}, "newer", "old"},
		{"v4 changes the segment", "segments", "s", 2, func() {
			require.NoError(t, writerV4.Upsert(ld.Segments, &ld.Segment{Key: "s", Version: 2, Included: []string{"bob"}}))
		}, "old", "newer"},
		{"v4 changes the flag", "features", "checkout", 3, func() {
			data, err := writerV4.Get(ld.Features, "checkout")
			require.NoError(t, err)
			flag := data.(*ld.Flag)
			flag.Version, flag.Variations[1] = 3, "newest"
			require.NoError(t, writerV4.Upsert(ld.Features, flag))
		}, "old", "newest"},
		{"v7 changes the segment", "segments", "s", 3, func() {
			both := ldbuilders.NewSegmentBuilder("s").Version(3).Included("alice", "bob").Build()
			upsertV7(segments, "s", 3, &both)
		}, "newest", "newest"},
		{"v4 deletes the flag", "features", "checkout", 4, func() {
			require.NoError(t, writerV4.Delete(ld.Features, "checkout", 4))
		}, "", ""},
		{"v7 makes it again", "features", "checkout", 5, func() {
			f := suiteFlag("checkout", 5, "again")
			upsertV7(features, "checkout", 5, &f)
		}, "again", "again"},
		{"v7 deletes the segment", "segments", "s", 4, func() {
			upsertV7(segments, "s", 4, nil)
		}, "old", "old"},
	} {
		step.write()
		g.await(step.kind, step.key, step.version)
		g.expect("alice", step.alice, step.what)
		g.expect("bob", step.bob, step.what)
	}

	// It is the message that does it: whom it does not reach keeps what it has.
	g.mu.Lock()
	g.sinks = g.sinks[:1]
	g.mu.Unlock()
	f = suiteFlag("checkout", 6, "")
	f.Variations[0] = ldvalue.String("last")
	upsertV7(features, "checkout", 6, &f)
	g.await("features", "checkout", 6)
	v4, v7 := g.evaluate("alice")
	assert.Equal(t, "old", v4)
	assert.Equal(t, "last", v7)
}

// suiteFlag is value for those in segment "s", and "old" for the rest.
func suiteFlag(key string, version int, value string) ldmodel.FeatureFlag {
	return ldbuilders.NewFlagBuilder(key).Version(version).Salt("s").On(true).
		Variations(ldvalue.String("old"), ldvalue.String(value)).OffVariation(0).FallthroughVariation(0).
		AddRule(ldbuilders.NewRuleBuilder().ID("r").Variation(1).Clauses(ldbuilders.SegmentMatchClause("s"))).Build()
}

// serialized is an item as LaunchDarkly's SDK v7 hands it to a store; nil makes a tombstone.
func serialized(kind st.DataKind, version int, item any) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{
		Version: version, Deleted: item == nil, SerializedItem: kind.Serialize(st.ItemDescriptor{Version: version, Item: item}),
	}
}

// generations are a client of each, whose caches never expire, on one table and one queue.
type generations struct {
	t     *testing.T
	table string
	v7    *sdk.LDClient
	v4    *v4store.Cache[ld.VersionedDataKind, ld.VersionedData]
	ready chan struct{} // closed once nothing can be missed any more
	once  sync.Once     // closes ready

	mu      sync.Mutex        // guards what follows
	sinks   []change.Sink     // v7's and v4's cache
	told    map[[2]string]int // by kind and key: the newest version that Invalidate returned for
	changed chan struct{}     // closed, and made anew, whenever told changes
}

func startGenerations(t *testing.T) *generations {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	g := &generations{t: t, table: newFlagTable(t), ready: make(chan struct{}), told: map[[2]string]int{}, changed: make(chan struct{})}
	topic, err := emulator.SNS().CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(uniqueName(t))})
	require.NoError(t, err)
	handler := streamhandler.New(emulator.SNS(), streamhandler.TopicARN(*topic.TopicArn), streamhandler.Logger(logger))
	runToTheEnd(t.Context(), t, "run streamhandler", (&localaws.StreamMapping{
		Streams: emulator.Streams(), StreamARN: streamOf(t, g.table), Handler: handler.Handle, Filter: invokesStreamhandler,
		Poll: 5 * time.Millisecond, Logger: logger,
	}).Run)

	v7 := cachedstore.New(dynamostore.DataStore(g.table).Prefix(pathPrefix).Client(emulator.DynamoDB()), cachedstore.TTL(-1), cachedstore.ReadLimit(patience))
	g.v4 = v4store.Cached(v4Table(t, g.table, pathPrefix, nil), v4store.TTL(-1))
	g.sinks = []change.Sink{v7, g.v4}
	g.v7 = suite.NewV7Client(t, v7)
	queue := subscriber.Queue(*topic.TopicArn, g, subscriber.Prefix(pathPrefix),
		subscriber.SNSClient(emulator.SNS()), subscriber.SQSClient(emulator.SQS()), subscriber.Logger(logger))
	runToTheEnd(t.Context(), t, "run the queue", queue.Run)
	waitFor(t, g.ready, "subscription")
	return g
}

// Invalidate implements [change.Sink]: one message, to both.
func (g *generations) Invalidate(changes ...change.Change) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sinks {
		s.Invalidate(changes...)
	}
	for _, c := range changes {
		item := [2]string{c.Kind, c.Key}
		g.told[item] = max(g.told[item], c.Version)
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// InvalidateAll implements [change.Sink].
func (g *generations) InvalidateAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sinks {
		s.InvalidateAll()
	}
	g.once.Do(func() { close(g.ready) })
}

// await waits until both were told of an item's version.
func (g *generations) await(kind, key string, version int) {
	g.t.Helper()
	for {
		g.mu.Lock()
		told, changed := g.told[[2]string{kind, key}], g.changed
		g.mu.Unlock()
		if told >= version {
			return
		}
		waitFor(g.t, changed, "message about "+key)
	}
}

// evaluate is what both generations evaluate for a user; nil or "" when there is no flag.
func (g *generations) evaluate(user string) (v4 any, v7 string) {
	g.t.Helper()
	v4, err := ld.Evaluate(g.v4, "checkout", user)
	require.NoError(g.t, err)
	v7, _ = g.v7.StringVariation("checkout", ldcontext.New(user), "") // its error: there is no such flag
	return v4, v7
}

// expect demands what both evaluate for a user, at once; "" is no flag.
func (g *generations) expect(user, want, what string) {
	g.t.Helper()
	v4, v7 := g.evaluate(user)
	if want == "" {
		assert.Nil(g.t, v4, "v4 for %s, %s", user, what)
	} else {
		assert.Equal(g.t, want, v4, "v4 for %s, %s", user, what)
	}
	assert.Equal(g.t, want, v7, "v7 for %s, %s", user, what)
}
