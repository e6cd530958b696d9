package demo_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/subscriber"
)

var (
	features = ldstoreimpl.Features()
	quiet    = slog.New(slog.NewTextHandler(io.Discard, nil))
)

const flags = 20

// rig is the path from the table to the caches, in virtual time.
type rig struct {
	t        *testing.T
	ctx      context.Context
	cloud    *localaws.Cloud
	topicARN string
	writers  map[string]*dynamostore.Store // by prefix
	readers  []*reader                     // that are alive
	started  []*reader                     // all
}

// reader is a cache with a TTL of a year: only messages make it fresh.
type reader struct {
	prefix string
	store  *cachedstore.Store
	flags  subsystems.DataStore
	queue  *subscriber.QueueSubscriber
	ended  chan error
}

// newRig runs streamhandler on the table's stream; wrap may break it.
func newRig(t *testing.T, wrap func(streamhandler.Publisher) streamhandler.Publisher, prefixes ...string) *rig {
	ctx, cancel := context.WithCancel(t.Context())
	r := &rig{t: t, ctx: ctx, cloud: localaws.New(), writers: map[string]*dynamostore.Store{}}
	r.cloud.Logger = quiet
	stream := r.cloud.CreateFlagTable("flags")
	topic, err := r.cloud.SNS.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("changes")})
	require.NoError(t, err)
	r.topicARN = *topic.TopicArn
	handler := streamhandler.New(wrap(r.cloud.SNS), streamhandler.TopicARN(r.topicARN), streamhandler.Logger(quiet))
	mapping := &localaws.StreamMapping{Streams: r.cloud.Streams, StreamARN: stream,
		Handler: handler.Handle, Logger: quiet}
	done := make(chan error, 1)
	go func() { done <- mapping.Run(ctx) }()
	for _, prefix := range prefixes {
		r.writers[prefix], err = dynamostore.DataStore("flags").Prefix(prefix).Client(r.cloud.DynamoDB).Open(ctx)
		require.NoError(t, err)
		for i := range flags {
			r.write(prefix, i, 1)
		}
	}
	t.Cleanup(func() {
		cancel()
		for _, x := range r.started {
			require.NoError(t, <-x.ended)
			require.NoError(t, x.flags.Close())
		}
		<-done
		r.cloud.Close()
	})
	return r
}

func (r *rig) write(prefix string, flag, version int) {
	built := ldbuilders.NewFlagBuilder(launchdarkly.FlagKey(flag)).Version(version).Build()
	data := features.Serialize(ldstoretypes.ItemDescriptor{Version: version, Item: &built})
	_, err := r.writers[prefix].Upsert(features, launchdarkly.FlagKey(flag),
		ldstoretypes.SerializedItemDescriptor{Version: version, SerializedItem: data})
	require.NoError(r.t, err)
}

func (r *rig) start(prefix string, sink func(change.Sink) change.Sink) *reader {
	x := &reader{prefix: prefix, ended: make(chan error, 1)}
	x.store = cachedstore.New(dynamostore.DataStore("flags").Prefix(prefix).Client(r.cloud.DynamoDB),
		cachedstore.TTL(365*24*time.Hour))
	var err error
	noLog := subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()}
	x.flags, err = x.store.Build(subsystems.BasicClientContext{Logging: noLog})
	require.NoError(r.t, err)
	x.queue = subscriber.Queue(r.topicARN, sink(x.store), subscriber.Prefix(prefix), subscriber.SNSClient(r.cloud.SNS),
		subscriber.SQSClient(r.cloud.SQS), subscriber.Logger(quiet))
	go func() { x.ended <- x.queue.Run(r.ctx) }()
	synctest.Wait()
	r.readers, r.started = append(r.readers, x), append(r.started, x)
	return x
}

// look evaluates every flag, so that it is cached, and returns the versions.
func (x *reader) look(t *testing.T) []int {
	versions := make([]int, flags)
	for i := range versions {
		item, err := x.flags.Get(features, launchdarkly.FlagKey(i))
		require.NoError(t, err)
		versions[i] = item.Version
	}
	return versions
}

// churn flips flags of every prefix at random while the readers evaluate; breakAt is called half way.
func (r *rig) churn(flips int, breakAt func()) map[string][]int {
	time.Sleep(2 * time.Minute) // the bubble's: until no reader invalidates everything any more because it has begun
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string][]int{}
	for prefix := range r.writers {
		want[prefix] = make([]int, flags)
		for i := range flags {
			want[prefix][i] = 1
		}
	}
	for n := range flips {
		for prefix := range r.writers {
			flag := random.IntN(flags)
			want[prefix][flag]++
			r.write(prefix, flag, want[prefix][flag])
		}
		for _, x := range r.readers {
			x.look(r.t)
		}
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		if n == flips/2 {
			breakAt()
		}
	}
	time.Sleep(10 * time.Minute) // the bubble's: whatever is retried has been
	return want
}

func (r *rig) requireAllSee(want map[string][]int) {
	for i, x := range r.readers {
		assert.Equal(r.t, want[x.prefix], x.look(r.t), "reader %d of prefix %q", i, x.prefix)
	}
}

func asIs(s change.Sink) change.Sink                          { return s }
func whole(p streamhandler.Publisher) streamhandler.Publisher { return p }

// mortal is a publisher that is killed during a call: before the message is published, or after.
type mortal struct {
	streamhandler.Publisher
	n int
}

func (m *mortal) Publish(ctx context.Context, in *sns.PublishInput,
	opts ...func(*sns.Options)) (*sns.PublishOutput, error) {
	m.n++
	if m.n%7 == 3 {
		panic("killed before the message was published")
	}
	out, err := m.Publisher.Publish(ctx, in, opts...)
	if m.n%7 == 5 {
		panic("killed after the message was published")
	}
	return out, err
}

// forgetful is a publisher that loses messages.
type forgetful struct {
	streamhandler.Publisher
	n int
}

func (f *forgetful) Publish(ctx context.Context, in *sns.PublishInput,
	opts ...func(*sns.Options)) (*sns.PublishOutput, error) {
	if f.n++; f.n%7 == 3 {
		return &sns.PublishOutput{}, nil
	}
	return f.Publisher.Publish(ctx, in, opts...)
}

// If messages are lost, changes are not seen: the tests below depend on messages alone.
func TestLostMessagesAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(p streamhandler.Publisher) streamhandler.Publisher { return &forgetful{Publisher: p} }, "")
		x := r.start("", asIs)
		want := r.churn(100, func() {})
		assert.NotEqual(t, want[""], x.look(t))
	})
}

func TestAKilledStreamhandlerLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *mortal
		r := newRig(t,
			func(p streamhandler.Publisher) streamhandler.Publisher { m = &mortal{Publisher: p}; return m }, "")
		r.start("", asIs)
		r.start("", asIs)
		r.requireAllSee(r.churn(100, func() {}))
		assert.Greater(t, m.n, 50, "it was killed many times")
	})
}

func TestBrokenTopicDeliveryLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, whole, "")
		r.start("", asIs)
		r.start("", asIs)
		var n atomic.Int64
		r.cloud.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "Publish" || operation == "ReceiveMessage" || operation == "DeleteMessageBatch" {
				if n.Add(1)%3 == 0 {
					return errors.New("the service is unavailable")
				}
			}
			return nil
		})
		want := r.churn(100, func() {
			queues, err := r.cloud.SQS.ListQueues(r.ctx, &sqs.ListQueuesInput{})
			require.NoError(t, err)
			_, err = r.cloud.SQS.DeleteQueue(r.ctx, &sqs.DeleteQueueInput{QueueUrl: aws.String(queues.QueueUrls[0])})
			require.NoError(t, err)
		})
		r.requireAllSee(want)
		assert.EqualValues(t, 3, r.readers[0].queue.Stats().Subscribed+r.readers[1].queue.Stats().Subscribed,
			"the deleted queue was re-created")
	})
}

// dying is a sink whose process is killed when a delivery reaches it, before it takes effect.
type dying struct {
	change.Sink
	die func()
}

func (d *dying) Invalidate(...change.Change) { d.die() }

func TestAKilledConsumerLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, whole, "")
		r.start("", asIs)
		r.start("", func(s change.Sink) change.Sink {
			return &dying{s, func() { <-r.ctx.Done() }} // a killed process does not return
		})
		want := r.churn(100, func() {
			r.readers = r.readers[:1] // and evaluates nothing
			r.start("", asIs)         // another takes its place
		})
		r.requireAllSee(want)
	})
}

func TestTwoPrefixesNeverSeeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, whole, "", "staging", "eu:production")
		for prefix := range r.writers {
			r.start(prefix, asIs)
		}
		want := r.churn(60, func() {})
		r.requireAllSee(want)
		assert.NotEqual(t, want["staging"], want["eu:production"])
		for _, x := range r.readers {
			stats := x.queue.Stats()
			assert.Zero(t, stats.Unreadable+stats.Foreign)
			assert.Positive(t, stats.OtherPrefix)
			assert.EqualValues(t, stats.Changes, x.store.Stats().Invalidations)
			assert.LessOrEqual(t, int(stats.Changes), 60+flags, "its own, not the others'")
		}
	})
}
