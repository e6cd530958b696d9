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

// The store for go-client.v4 fulfills that SDK's contract and shares a table with dynamostore, on DynamoDB Local
// through aws-sdk-go v1.
func TestV4StoreSuite(t *testing.T) {
	suite.Run(t, func(t *testing.T) suite.Table {
		table := newFlagTable(t)
		return suite.Table{
			Name: table,
			API:  emulator.DynamoDB(),
			V4: func(prefix string, beforeWrite func()) ld.FeatureStore {
				return v4Table(t, table, prefix, beforeWrite)
			},
		}
	})
}

func v4Table(
	t *testing.T,
	table, prefix string,
	beforeWrite func(),
) *v4store.Table[ld.VersionedDataKind, ld.VersionedData] {
	t.Helper()
	client := &writingV1{DynamoDBAPI: dynamoDBv1(t), before: beforeWrite}
	return v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData](
		table,
		v4store.Prefix(prefix),
		v4store.Client(client),
	)
}

// dynamoDBv1 returns a client of DynamoDB Local, of aws-sdk-go v1.
func dynamoDBv1(t *testing.T) *dynamodb.DynamoDB {
	t.Helper()
	s, err := session.NewSession(&aws.Config{
		Region: aws.String(emulator.Region), Endpoint: aws.String(emulator.DynamoDBEndpoint()),
		Credentials: credentials.NewStaticCredentials(emulator.AccessKey, emulator.SecretKey, ""),
	})
	require.NoError(t, err)
	return dynamodb.New(s)
}

// writingV1 is a client that calls before each write a hook, unless it is nil.
type writingV1 struct {
	dynamodbiface.DynamoDBAPI
	before func()
}

func (c *writingV1) PutItemWithContext(
	ctx aws.Context,
	in *dynamodb.PutItemInput,
	o ...request.Option,
) (*dynamodb.PutItemOutput, error) {
	if c.before != nil {
		c.before()
	}
	return c.DynamoDBAPI.PutItemWithContext(ctx, in, o...)
}

func (c *writingV1) TransactWriteItemsWithContext(
	ctx aws.Context,
	in *dynamodb.TransactWriteItemsInput,
	o ...request.Option,
) (*dynamodb.TransactWriteItemsOutput, error) {
	if c.before != nil {
		c.before()
	}
	return c.DynamoDBAPI.TransactWriteItemsWithContext(ctx, in, o...)
}

// Both generations share a table and a topic. After one message both see a change, whichever of them wrote it.
func TestBothGenerationsAreFreshWithinOneMessage(t *testing.T) {
	g := startGenerations(t)
	writerV7, writerV4 := openStore(t, g.table, pathPrefix), v4Table(t, g.table, pathPrefix, nil)
	segment := ldbuilders.NewSegmentBuilder("s").Version(1).Included("alice").Build()
	f := suiteFlag("checkout", 1, "new")
	require.NoError(t, writerV7.Init([]st.SerializedCollection{
		{
			Kind:  segments,
			Items: []st.KeyedSerializedItemDescriptor{{Key: "s", Item: serialized(segments, 1, &segment)}},
		},
		{
			Kind:  features,
			Items: []st.KeyedSerializedItemDescriptor{{Key: "checkout", Item: serialized(features, 1, &f)}},
		},
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
			segment := &ld.Segment{Key: "s", Version: 2, Included: []string{"bob"}}
			require.NoError(t, writerV4.Upsert(ld.Segments, segment))
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

	// Only the message invalidates: a cache that does not receive it keeps its value.
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

// suiteFlag returns a flag that is value for users in segment "s", and "old" for the others.
func suiteFlag(key string, version int, value string) ldmodel.FeatureFlag {
	return ldbuilders.NewFlagBuilder(key).Version(version).Salt("s").On(true).
		Variations(ldvalue.String("old"), ldvalue.String(value)).OffVariation(0).FallthroughVariation(0).
		AddRule(ldbuilders.NewRuleBuilder().ID("r").Variation(1).Clauses(ldbuilders.SegmentMatchClause("s"))).Build()
}

// serialized returns an item as LaunchDarkly's SDK v7 passes it to a store; a nil item makes a tombstone.
func serialized(kind st.DataKind, version int, item any) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{
		Version:        version,
		Deleted:        item == nil,
		SerializedItem: kind.Serialize(st.ItemDescriptor{Version: version, Item: item}),
	}
}

// generations is a client of each generation, on one table and one queue. Their caches never expire.
type generations struct {
	t     *testing.T
	table string
	v7    *sdk.LDClient
	v4    *v4store.Cache[ld.VersionedDataKind, ld.VersionedData]
	ready chan struct{} // closed once the queue is subscribed
	once  sync.Once     // closes ready

	mu       sync.Mutex        // guards the following
	sinks    []change.Sink     // the caches of v7 and v4
	notified map[[2]string]int // by kind and key: the newest version for which Invalidate has returned
	changed  chan struct{}     // closed and replaced whenever notified changes
}

func startGenerations(t *testing.T) *generations {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	g := &generations{
		t:        t,
		table:    newFlagTable(t),
		ready:    make(chan struct{}),
		notified: map[[2]string]int{},
		changed:  make(chan struct{}),
	}
	topic, err := emulator.SNS().CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(uniqueName(t))})
	require.NoError(t, err)
	handler := streamhandler.New(emulator.SNS(), streamhandler.TopicARN(*topic.TopicArn), streamhandler.Logger(logger))
	runToTheEnd(t.Context(), t, "run streamhandler", (&localaws.StreamMapping{
		Streams: emulator.Streams(), StreamARN: streamOf(t, g.table), Handler: handler.Handle,
		Filter: invokesStreamhandler, Poll: 5 * time.Millisecond, Logger: logger,
	}).Run)

	v7 := cachedstore.New(
		dynamostore.DataStore(g.table).Prefix(pathPrefix).Client(emulator.DynamoDB()),
		cachedstore.TTL(-1),
		cachedstore.ReadLimit(patience),
	)
	g.v4 = v4store.Cached(v4Table(t, g.table, pathPrefix, nil), v4store.TTL(-1))
	g.sinks = []change.Sink{v7, g.v4}
	g.v7 = suite.NewV7Client(t, v7)
	queue := subscriber.Queue(*topic.TopicArn, g, subscriber.Prefix(pathPrefix),
		subscriber.SNSClient(emulator.SNS()), subscriber.SQSClient(emulator.SQS()), subscriber.Logger(logger))
	runToTheEnd(t.Context(), t, "run the queue", queue.Run)
	waitFor(t, g.ready, "subscription")
	return g
}

// Invalidate implements [change.Sink]. It invalidates both caches.
func (g *generations) Invalidate(changes ...change.Change) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sinks {
		s.Invalidate(changes...)
	}
	for _, c := range changes {
		item := [2]string{c.Kind, c.Key}
		g.notified[item] = max(g.notified[item], c.Version)
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

// await waits until both caches were notified of an item's version.
func (g *generations) await(kind, key string, version int) {
	g.t.Helper()
	for {
		g.mu.Lock()
		notified, changed := g.notified[[2]string{kind, key}], g.changed
		g.mu.Unlock()
		if notified >= version {
			return
		}
		waitFor(g.t, changed, "message about "+key)
	}
}

// evaluate returns what both generations evaluate for a user; nil or "" if there is no flag.
func (g *generations) evaluate(user string) (v4 any, v7 string) {
	g.t.Helper()
	v4, err := ld.Evaluate(g.v4, "checkout", user)
	require.NoError(g.t, err)
	v7, _ = g.v7.StringVariation("checkout", ldcontext.New(user), "") // the error says that there is no such flag
	return v4, v7
}

// expect requires that both generations evaluate want for a user, without waiting; "" means no flag.
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
