package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/change"
)

// WriteAPI is the part of [dynamodb.Client] that a [Writer] uses.
type WriteAPI interface {
	ReadAPI
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(
		context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options),
	) (*dynamodb.TransactWriteItemsOutput, error)
}

var _ WriteAPI = (*dynamodb.Client)(nil)

// MaxCopies is the largest number of copies of a journal: what one transaction can write.
const MaxCopies = 100

// Writer appends to the journals of one table in one region. All fields but Copies are required. Wrong ones are
// reported by each call, all at once. Its methods are safe for concurrent use, in any number of processes.
type Writer struct {
	Client WriteAPI
	Table  string
	Region string // of the table: AWS_REGION in a Lambda function
	// Copies is the number of copies, which are all alike; 0 means 1, and the maximum is [MaxCopies]. Raise it here before
	// you raise it in followers, and lower it there first: a follower of a copy that is not written misses everything.
	Copies int

	mu    sync.Mutex        // guards wrote
	wrote map[string]*state // by prefix: epoch, seq and the last mark of what this Writer wrote last
}

// Append appends the changes of these messages to the journals of their prefixes, and returns when they are there.
// Concurrent calls lose nothing: each write is conditional on what was read, and is repeated until it succeeds or ctx
// ends. A message without changes, which means that anything may have changed, is a [Writer.Renew].
//
// A prefix that fails does not affect the others; the error joins those of all that failed. After an error, append all
// again: what is appended twice is only invalidated twice.
func (w *Writer) Append(ctx context.Context, published []change.Message) error {
	appended := map[string][]entry{}
	renewed := map[string]bool{}
	for _, m := range published {
		renewed[m.Prefix] = renewed[m.Prefix] || len(m.Changes) == 0
		for _, c := range m.Changes {
			appended[m.Prefix] = append(appended[m.Prefix], newEntry(c))
		}
	}
	return w.each(published, "append to", func(prefix string) error {
		return w.update(ctx, prefix, appended[prefix], renewed[prefix])
	})
}

// Renew gives the journal of a prefix a new epoch, so that every follower takes it that anything may have changed. It
// is for when it is not known what changed.
func (w *Writer) Renew(ctx context.Context, prefix string) error {
	return w.Append(ctx, []change.Message{{Prefix: prefix}})
}

// Remove takes the place of [Writer.Append] while the journal is switched off. It deletes the first copy of the
// journals of the messages' prefixes, so that the first append after the journal is switched on again begins a new
// epoch, in all copies: a journal that missed changes must not go on.
func (w *Writer) Remove(ctx context.Context, published []change.Message) error {
	return w.each(published, "remove", func(prefix string) error {
		_, err := w.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &w.Table, Key: rowKey(name(prefix, w.Region, 0)),
		})
		return err
	})
}

// each calls f for each prefix of the messages, in their order, and joins the errors.
func (w *Writer) each(published []change.Message, what string, f func(prefix string) error) error {
	if err := w.check(); err != nil {
		return err
	}
	var problems []error
	seen := map[string]bool{}
	for _, m := range published {
		if seen[m.Prefix] {
			continue
		}
		seen[m.Prefix] = true
		if err := f(m.Prefix); err != nil {
			journal := name(m.Prefix, w.Region, 0)
			problems = append(problems, fmt.Errorf("%s journal %q in table %q: %w", what, journal, w.Table, err))
		}
	}
	return errors.Join(problems...)
}

// check returns everything that is wrong with the fields in one error.
func (w *Writer) check() error {
	var problems []error
	if w.Client == nil {
		problems = append(problems, errors.New("a Writer needs a Client: pass a DynamoDB client"))
	}
	if w.Table == "" {
		problems = append(problems, errors.New("a Writer needs a Table: its name is empty"))
	}
	if w.Region == "" {
		problems = append(problems, errors.New("a Writer needs a Region: pass the table's, such as AWS_REGION"))
	}
	if w.Copies < 0 || w.Copies > MaxCopies {
		problems = append(problems, fmt.Errorf("copies %d: use 1 to %d", w.Copies, MaxCopies))
	}
	if len(problems) > 0 {
		return fmt.Errorf("configure journal: %w", errors.Join(problems...))
	}
	return nil
}

// update reads the first copy and writes all copies, until no other write comes between the two. All entries are
// carried along; makeRow drops what does not fit. A write whose answer was lost is repeated by AWS's client and then
// fails its condition, so its changes may be in the journal twice, which costs a follower nothing but a read.
//
// The journal gets a new epoch if there is none, if the caller wants one, and if the journal is not what this Writer
// wrote, or a continuation of it: then the table was restored.
func (w *Writer) update(ctx context.Context, prefix string, appended []entry, renew bool) error {
	return withRetry(ctx, func() error {
		var was *state
		if !renew {
			wrote := w.last(prefix) // before the read, which then finds at least that
			var err error
			if was, err = w.read(ctx, prefix); err != nil {
				return err
			}
			if was != nil && wrote != nil && was.epoch == wrote.epoch && (was.seq < wrote.seq || was.diverges(wrote)) {
				was = nil
			}
		}
		next := &state{epoch: rand.Text()}
		if was != nil {
			*next = *was
		}
		next.seq += int64(len(appended))
		next.entries = slices.Concat(next.entries, appended)
		if err := w.write(ctx, prefix, was, next); err != nil {
			return err
		}
		w.remember(prefix, next)
		return nil
	})
}

// last returns what this Writer wrote last; nil if nothing.
func (w *Writer) last(prefix string) *state {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrote[prefix]
}

func (w *Writer) remember(prefix string, j *state) {
	wrote := &state{epoch: j.epoch, seq: j.seq}
	if n := len(j.entries); n > 0 {
		wrote.marks = j.entries[n-1].mark
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrote == nil {
		w.wrote = map[string]*state{}
	}
	w.wrote[prefix] = wrote
}

// read reads the first copy, strongly consistent. It returns nil for one that cannot be understood, and for one without
// marks, which an older release wrote: a new epoch repairs it.
func (w *Writer) read(ctx context.Context, prefix string) (*state, error) {
	out, err := w.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &w.Table, Key: rowKey(name(prefix, w.Region, 0)), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	j, err := parseRow(out.Item)
	if err != nil || j == nil || j.decode() != nil || len(j.entries) > 0 && j.marks == "" {
		return nil, nil //nolint:nilerr // see above
	}
	return j, nil
}

// write writes all copies if the first one still has the epoch and the sequence number that was read. The others are
// never written without it, so its condition is enough for all. A new epoch may be written over anything else: whatever
// another process wrote in between, every follower takes it that anything may have changed. But not over that same
// epoch: AWS's client repeats a write whose answer is late, and what it sent first may arrive last, when others have
// appended.
func (w *Writer) write(ctx context.Context, prefix string, was, next *state) error {
	put := types.Put{
		TableName: &w.Table, Item: makeRow(name(prefix, w.Region, 0), next),
		ConditionExpression:       aws.String("attribute_not_exists(#e) OR #e <> :e"),
		ExpressionAttributeNames:  map[string]string{"#e": attrEpoch},
		ExpressionAttributeValues: row{":e": text(next.epoch)},
	}
	if was != nil { // of the same epoch
		put.ConditionExpression = aws.String("#e = :e AND #s = :s")
		put.ExpressionAttributeNames["#s"], put.ExpressionAttributeValues[":s"] = attrSeq, number(was.seq)
	}
	if w.Copies <= 1 {
		_, err := w.Client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
			ExpressionAttributeNames: put.ExpressionAttributeNames, ExpressionAttributeValues: put.ExpressionAttributeValues,
		})
		return err
	}
	all := []types.TransactWriteItem{{Put: &put}}
	for n := 1; n < w.Copies; n++ {
		all = append(all, types.TransactWriteItem{Put: &types.Put{
			TableName: &w.Table, Item: makeRow(name(prefix, w.Region, n), next),
		}})
	}
	_, err := w.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: all})
	return err
}
