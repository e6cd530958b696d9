package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/subscriber"
)

// DeployedPrefix is the environment in which [RunDeployed] makes its flags: no LaunchDarkly environment's, and no sync
// touches it.
const DeployedPrefix = "warmflags-demo"

// DeployedDefaults is the main job against a stack: fewer flips, by fewer clients, with more patience for a real
// network.
func DeployedDefaults() Config {
	return Config{Changes: 100, Consumers: 5, Flags: 20, Seed: 1, Patience: 30 * time.Second}
}

// RunDeployed measures a deployed stack, from a write to its table to evaluations: stream, streamhandler, topic,
// queue, cache. The stack's own LaunchDarkly environments are left alone, so what is before the table is not
// measured. It removes its flags from the table and its queues when it ends; what is left is the small row of its
// journal.
//
// The configuration's credentials must allow what the stack's ReaderPolicy and SubscriberPolicy do, writing to the
// table, and cloudformation:DescribeStacks.
func RunDeployed(ctx context.Context, c Config, stack string, cfg aws.Config) (report *Report, err error) {
	problems := []error{c.validate()}
	if c.Sabotage != "" {
		problems = append(problems, errors.New("--sabotage with --stack: it breaks the path in this process only"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	outputs, err := stackOutputs(ctx, cfg, stack)
	if err != nil {
		return nil, err
	}
	d := &deployed{table: outputs["TableName"], db: dynamodb.NewFromConfig(cfg), versions: map[int]int{}}
	if d.store, err = dynamostore.DataStore(d.table).Prefix(DeployedPrefix).Client(d.db).Open(ctx); err != nil {
		return nil, err
	}
	if err := d.store.Init(d.environment(c.Flags)); err != nil {
		return nil, fmt.Errorf("write flags of prefix %q: %w", DeployedPrefix, err)
	}
	defer func() { err = errors.Join(err, d.removeFlags(context.WithoutCancel(ctx), c.Flags)) }()

	b := newBoard(c.Consumers)
	consumers, stop, err := d.startConsumers(ctx, c, b, outputs["TopicArn"], cfg)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if _, err := flipAll(ctx, c, b, d); err != nil {
		return nil, err
	}
	return deployedReport(c, stack, b, consumers, time.Since(start)), nil
}

// flipper makes one flip, which begins on the board before it can be seen.
type flipper interface {
	flip(ctx context.Context, b *board, flag int, alone bool) (*flip, error)
}

// deployed is a stack's table, and what the demo has in it.
type deployed struct {
	table    string
	db       *dynamodb.Client
	store    *dynamostore.Store
	versions map[int]int // by flag; only flipAll's goroutine touches it
}

// environment is flags at version 1.
func (d *deployed) environment(flags int) []st.SerializedCollection {
	collection := st.SerializedCollection{Kind: ldstoreimpl.Features()}
	for i := range flags {
		d.versions[i] = 1
		collection.Items = append(collection.Items,
			st.KeyedSerializedItemDescriptor{Key: launchdarkly.FlagKey(i), Item: item(i, 1)})
	}
	return []st.SerializedCollection{collection}
}

// item is a flag whose value is its version.
func item(flag, version int) st.SerializedItemDescriptor {
	data, err := json.Marshal(ldbuilders.NewFlagBuilder(launchdarkly.FlagKey(flag)).Version(version).OffVariation(0).
		Variations(ldvalue.Int(version)).Build())
	if err != nil {
		panic(fmt.Sprintf("marshal flag %d: %v", flag, err)) // the builders' own types always marshal
	}
	return st.SerializedItemDescriptor{Version: version, SerializedItem: data}
}

// flip raises a flag's version in the table.
func (d *deployed) flip(_ context.Context, b *board, flag int, alone bool) (*flip, error) {
	f := b.begin(flag, alone)
	d.versions[flag]++
	b.made(f, d.versions[flag])
	if _, err := d.store.Upsert(ldstoreimpl.Features(), launchdarkly.FlagKey(flag),
		item(flag, d.versions[flag])); err != nil {
		return nil, fmt.Errorf("flip %q: %w", launchdarkly.FlagKey(flag), err)
	}
	b.queued(f)
	return f, nil
}

// startConsumers starts clients with a queue each, and waits until they can miss nothing: a minute or so, until their
// queues' policies must apply, and their sources say so by a second InvalidateAll. Stop, which is never nil, ends
// them, removes their queues, and returns what failed.
func (d *deployed) startConsumers(ctx context.Context, c Config, b *board, topic string,
	cfg aws.Config) (all []*consumer, stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	var mu sync.Mutex // guards failed
	var failed []error
	stop = func() error {
		cancel()
		running.Wait()
		for _, x := range all {
			_ = x.client.Close()
		}
		return errors.Join(failed...)
	}
	inner := dynamostore.DataStore(d.table).Prefix(DeployedPrefix).Client(d.db)
	for id := range c.Consumers {
		x, err := newConsumer(id, 2, c, b, inner)
		if err != nil {
			return all, stop, err
		}
		all = append(all, x)
		queue := subscriber.Queue(topic, x, subscriber.Prefix(DeployedPrefix), subscriber.AWSConfig(cfg),
			subscriber.Owner("warmflags demo"), subscriber.Logger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		running.Go(func() {
			if err := queue.Run(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Errorf("run queue of consumer %d: %w", id, err))
				cancel() // the others would wait for nothing
			}
		})
	}
	for _, x := range all {
		select {
		case <-x.ready:
		case <-ctx.Done():
			return all, stop, context.Cause(ctx)
		}
		running.Go(func() { x.run(ctx) })
	}
	return all, stop, nil
}

// removeFlags removes the demo's rows.
func (d *deployed) removeFlags(ctx context.Context, flags int) error {
	row := func(namespace, key string) error {
		_, err := d.db.DeleteItem(ctx,
			&dynamodb.DeleteItemInput{TableName: &d.table, Key: map[string]types.AttributeValue{
				"namespace": &types.AttributeValueMemberS{Value: DeployedPrefix + ":" + namespace},
				"key":       &types.AttributeValueMemberS{Value: key},
			}})
		return err
	}
	errs := []error{row("$inited", DeployedPrefix+":$inited")}
	for i := range flags {
		errs = append(errs, row("features", launchdarkly.FlagKey(i)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the flags of prefix %q from table %q: %w", DeployedPrefix, d.table, err)
	}
	return nil
}

// deployedReport has the parts of the way that can be told apart from outside.
func deployedReport(c Config, stack string, b *board, consumers []*consumer, took time.Duration) *Report {
	r := &Report{
		Stack: stack, Changes: c.Changes, Consumers: c.Consumers, Flags: c.Flags, Seed: c.Seed,
		Seconds: math.Round(took.Seconds()*100) / 100,
	}
	for _, x := range consumers {
		r.Evaluations += x.evaluations.Load()
		r.Failures += x.failures.Load()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Alone, r.Stale, r.Examples = b.lone, b.stale, b.examples
	var write, fanOut, look []time.Duration
	for _, f := range b.flips {
		for _, s := range f.seen {
			if s.evaluated.IsZero() {
				r.Lost++
				continue
			}
			r.latencies = append(r.latencies, s.evaluated.Sub(f.at))
			if f.alone && !s.invalidated.IsZero() {
				write = append(write, f.queued.Sub(f.at))
				fanOut = append(fanOut, s.invalidated.Sub(f.queued))
				look = append(look, s.evaluated.Sub(s.invalidated))
			}
		}
	}
	r.P50, r.P99, r.Max = percentiles(r.latencies)
	for _, hop := range []struct {
		name  string
		times []time.Duration
	}{{"write, to the table", write}, {"stream, topic, queue, to the cache", fanOut}, {"next evaluation", look}} {
		p50, p99, most := percentiles(hop.times)
		r.Hops = append(r.Hops, Hop{hop.name, p50, p99, most})
	}
	return r
}
