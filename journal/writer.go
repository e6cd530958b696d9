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
	DeleteItem(
		context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options),
	) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(
		context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options),
	) (*dynamodb.TransactWriteItemsOutput, error)
}

var _ WriteAPI = (*dynamodb.Client)(nil)

// MaxCopies is the largest number of copies of a journal: a DynamoDB transaction has at most 100 items.
const MaxCopies = 100

// Writer appends to the journals of one table in one region. All exported fields except Copies are required. Each call
// reports all wrong fields together. Its methods are safe for concurrent use, also by several processes.
type Writer struct {
	Client WriteAPI
	Table  string
	Region string // the table's region: AWS_REGION in a Lambda function
	// Copies is the number of identical copies. 0 means 1, a negative value is an error, and the maximum is
	// [MaxCopies]. Raise it here before you raise it in followers, and lower it in followers first: a follower whose
	// copy is not written misses every change.
	Copies int

	mu    sync.Mutex        // guards wrote
	wrote map[string]*state // by prefix: epoch, seq and last mark of this Writer's latest write
}

// AppendOrRemove returns [Writer.Append] if the journal is switched on, and [Writer.Remove] if it is switched off. Pass
// the result to streamhandler.OnPublished.
func (w *Writer) AppendOrRemove(on bool) func(ctx context.Context, published []change.Message) error {
	if on {
		return w.Append
	}
	return w.Remove
}

// Append appends the changes of the messages to the journals of their prefixes, and returns when they are written.
// Concurrent calls lose no change: each write is conditional on the state that was read, and is repeated until it
// succeeds or ctx ends. A message without changes means that anything may have changed; for its prefix, Append begins a
// new epoch, as [Writer.Renew] does.
//
// A failure for one prefix does not affect the others; the returned error joins all failures. After an error, append
// all messages again. A change that is appended twice is invalidated twice, which costs a read.
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

// Renew gives the journal of a prefix a new epoch, so that every follower invalidates everything. Use it when it is not
// known what changed.
func (w *Writer) Renew(ctx context.Context, prefix string) error {
	return w.Append(ctx, []change.Message{{Prefix: prefix}})
}

// Remove replaces [Writer.Append] while the journal is switched off. It deletes the first copy of the journal of each
// prefix in the messages. So when the journal is switched on again, the first append begins a new epoch in all copies:
// a journal that misses changes must not be continued.
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
		problems = append(problems, errors.New("field Client is nil: set a DynamoDB client"))
	}
	if w.Table == "" {
		problems = append(problems, errors.New("field Table is empty: set the table's name"))
	}
	if w.Region == "" {
		problems = append(problems, errors.New("field Region is empty: set the table's region, such as AWS_REGION"))
	}
	if w.Copies < 0 || w.Copies > MaxCopies {
		problems = append(problems, fmt.Errorf("field Copies is %d: use 1 to %d", w.Copies, MaxCopies))
	}
	if len(problems) > 0 {
		return fmt.Errorf("configure journal.Writer: %w", errors.Join(problems...))
	}
	return nil
}

// update reads the first copy and writes all copies, and repeats both until no other write happens between them. It
// keeps all entries; makeRow drops the oldest ones that do not fit. If the answer to a write is lost, AWS's client
// repeats the write, which then fails its condition. So its changes may be in the journal twice, which costs a follower
// one read.
//
// The journal gets a new epoch if it does not exist, if the caller asks for one, and if it is neither what this Writer
// wrote nor a continuation of that, because then the table was restored.
func (w *Writer) update(ctx context.Context, prefix string, appended []entry, renew bool) error {
	return withRetry(ctx, func() error {
		var was *state
		if !renew {
			wrote := w.last(prefix) // before the read, so that the read finds this write or a later one
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

// last returns this Writer's latest write, or nil if there was none.
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

// read reads the first copy, strongly consistent. It returns nil for a row that cannot be decoded, and for a row
// without marks, which an older release wrote. The new epoch that follows repairs both.
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

// write writes all copies if the first one still has the epoch and the sequence number that were read. The other copies
// are always written together with the first, so one condition is enough.
//
// A new epoch may replace any other epoch, because it makes every follower invalidate everything, including what
// another process wrote in between. It must not replace itself: AWS's client repeats a write whose answer is late, and
// the first attempt may reach the table last, after other processes have appended to the new epoch.
func (w *Writer) write(ctx context.Context, prefix string, was, next *state) error {
	put := types.Put{
		TableName: &w.Table, Item: makeRow(name(prefix, w.Region, 0), next),
		ConditionExpression:       aws.String("attribute_not_exists(#e) OR #e <> :e"),
		ExpressionAttributeNames:  map[string]string{"#e": attrEpoch},
		ExpressionAttributeValues: row{":e": text(next.epoch)},
	}
	if was != nil { // continue its epoch
		put.ConditionExpression = aws.String("#e = :e AND #s = :s")
		put.ExpressionAttributeNames["#s"], put.ExpressionAttributeValues[":s"] = attrSeq, number(was.seq)
	}
	if w.Copies <= 1 {
		_, err := w.Client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
			ExpressionAttributeNames:  put.ExpressionAttributeNames,
			ExpressionAttributeValues: put.ExpressionAttributeValues,
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
