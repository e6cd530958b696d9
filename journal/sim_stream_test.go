package journal_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/streamhandler"
)

// commit writes a new version of a flag in a region and adds a record of it to the region's stream.
func (w *world) commit(r, prefix, key int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	region := w.regions[r]
	h := &region.flags[prefix][key]
	h.committed = append(h.committed, time.Now())
	region.record(prefix, key, len(h.committed))
}

// record adds a record of a flag's version to the region's stream.
func (r *simRegion) record(prefix, key, version int) {
	r.records++
	shard := (prefix + key) % shards
	r.stream[shard] = append(r.stream[shard], record(simPrefixes[prefix], key, version, r.records))
}

// keyFormat makes long keys, so that a journal holds about sixty changes.
const keyFormat = "a-flag-with-a-rather-long-name-%02d"

func number(key string) int {
	n, _ := strconv.Atoi(key[len(key)-2:])
	return n
}

func record(prefix string, key, version, sequence int) events.DynamoDBEventRecord {
	namespace := "features"
	if prefix != "" {
		namespace = prefix + ":features"
	}
	image := func(version int) map[string]events.DynamoDBAttributeValue {
		return map[string]events.DynamoDBAttributeValue{
			"version": events.NewNumberAttribute(strconv.Itoa(version)), "item": events.NewStringAttribute("{}"),
		}
	}
	r := events.DynamoDBEventRecord{EventName: "INSERT", Change: events.DynamoDBStreamRecord{
		SequenceNumber: strconv.Itoa(sequence), NewImage: image(version),
		Keys: map[string]events.DynamoDBAttributeValue{
			"namespace": events.NewStringAttribute(namespace),
			"key":       events.NewStringAttribute(fmt.Sprintf(keyFormat, key)),
		},
	}}
	if version > 1 {
		r.EventName, r.Change.OldImage = "MODIFY", image(version-1)
	}
	return r
}

// stream runs streamhandler on one shard, as Lambda does: batch after batch, and again from the record at which a batch
// failed. Each shard has its own process, which is sometimes replaced.
func (w *world) stream(r, shard int) {
	region, random := w.regions[r], w.random(uint64(100+10*r+shard))
	var writer atomic.Pointer[journal.Writer] // of the process
	handler := streamhandler.New(topic{w, random}, streamhandler.TopicARN("arn:aws:sns:eu-west-1:123456789012:changes"),
		streamhandler.Logger(slog.New(slog.NewTextHandler(io.Discard, nil))),
		streamhandler.OnPublished(func(ctx context.Context, published []change.Message) error {
			return w.publish(ctx, region, writer.Load(), published)
		}))
	for {
		w.mu.Lock()
		batch := slices.Clone(region.stream[shard][:min(20, len(region.stream[shard]))])
		w.mu.Unlock()
		if len(batch) == 0 {
			if isClosed(w.stop) {
				return
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if writer.Load() == nil || random.IntN(10) == 0 {
			writer.Store(w.newWriter(region))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		response, err := handler.Handle(ctx, events.DynamoDBEvent{Records: batch})
		cancel()
		done := len(batch)
		if len(response.BatchItemFailures) > 0 {
			done = slices.IndexFunc(batch, func(r events.DynamoDBEventRecord) bool {
				return r.Change.SequenceNumber == response.BatchItemFailures[0].ItemIdentifier
			})
		}
		if err != nil {
			done = 0
		}
		w.mu.Lock()
		region.stream[shard] = region.stream[shard][done:]
		w.mu.Unlock()
		time.Sleep(between(random, 10*time.Millisecond, 100*time.Millisecond))
	}
}

// committedKey is the context key of a function that is called when a write is committed, with the journal's name and
// under world.mu.
type committedKey struct{}

// publish handles published messages as streamhandler does: it appends them, or removes the journal while it is
// switched off.
func (w *world) publish(
	ctx context.Context, region *simRegion, writer *journal.Writer, published []change.Message,
) error {
	w.mu.Lock()
	off := region.off
	w.mu.Unlock()
	each := func(f func(prefix int, m change.Message)) context.Context {
		return context.WithValue(ctx, committedKey{}, func(name string) {
			for _, m := range published {
				if strings.HasPrefix(name, layout.Namespace(m.Prefix, "$journal/")) {
					f(slices.Index(simPrefixes[:], m.Prefix), m)
				}
			}
		})
	}
	if off {
		return writer.Remove(each(region.removed), published)
	}
	return writer.Append(each(region.appended), published)
}

// appended records that the journal now has the message's changes. A change covers all versions up to its own. Changes
// that were published while the journal was off count from the next append, because it begins a new epoch.
func (r *simRegion) appended(prefix int, m change.Message) {
	for key, version := range r.pending[prefix] {
		r.flags[prefix][key].append(version)
	}
	clear(r.pending[prefix])
	for _, c := range m.Changes {
		r.flags[prefix][number(c.Key)].append(r.version(prefix, c))
	}
}

// version returns the lowest version that the table has when a follower receives the change now.
func (r *simRegion) version(prefix int, c change.Change) int {
	if c.Version == 0 { // unknown: the item's versions in the batch did not rise
		return len(r.flags[prefix][number(c.Key)].committed)
	}
	return c.Version
}

// removed records that the region's journal is now empty.
func (r *simRegion) removed(prefix int, m change.Message) {
	pending := r.pending[prefix]
	for key := range r.flags[prefix] {
		h := &r.flags[prefix][key]
		pending[key], h.appended = max(pending[key], len(h.appended)), nil
	}
	for _, c := range m.Changes {
		pending[number(c.Key)] = max(pending[number(c.Key)], r.version(prefix, c))
	}
}

// append records that the journal has all versions up to this one from now on.
func (h *history) append(version int) {
	for len(h.appended) < version {
		h.appended = append(h.appended, time.Now())
	}
}

// topic is a Publisher that sometimes fails, so that a batch of two prefixes is published in part.
type topic struct {
	w      *world
	random *rand.Rand // used only by the shard's handler, which publishes one message after the other
}

func (p topic) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	time.Sleep(5 * time.Millisecond)
	if p.random.IntN(10) == 0 {
		p.w.mu.Lock()
		p.w.count.partial++
		p.w.mu.Unlock()
		return nil, errDown
	}
	return &sns.PublishOutput{}, nil
}

// simWriter is streamhandler's DynamoDB client. It fails while the region is down, and records the journal's history.
type simWriter struct {
	*localaws.DynamoDB
	w      *world
	region *simRegion
}

func (c simWriter) call() error {
	time.Sleep(3 * time.Millisecond)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.region.down {
		return errDown
	}
	return nil
}

func (c simWriter) GetItem(
	ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	if err := c.call(); err != nil {
		return nil, err
	}
	return c.DynamoDB.GetItem(ctx, in, o...)
}

func (c simWriter) TransactWriteItems(
	ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	if err := c.call(); err != nil {
		return nil, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	out, err := c.DynamoDB.TransactWriteItems(ctx, in, o...)
	if err == nil {
		for _, one := range in.TransactItems {
			c.region.write(text(one.Put.Item["key"]), one.Put.Item)
		}
		ctx.Value(committedKey{}).(func(string))(text(in.TransactItems[0].Put.Item["key"]))
	}
	return out, err
}

func (c simWriter) DeleteItem(
	ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options),
) (*dynamodb.DeleteItemOutput, error) {
	if err := c.call(); err != nil {
		return nil, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	out, err := c.DynamoDB.DeleteItem(ctx, in, o...)
	if err == nil {
		c.region.write(text(in.Key["key"]), nil)
		c.w.count.removed++
		ctx.Value(committedKey{}).(func(string))(text(in.Key["key"]))
	}
	return out, err
}
