package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/change"
)

// WriteAPI is the part of [dynamodb.Client] that a [Writer] uses.
type WriteAPI interface {
	ReadAPI
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var _ WriteAPI = (*dynamodb.Client)(nil)

// MaxCopies is the most copies of a journal that one transaction can write.
const MaxCopies = 100

// Writer appends to the journals of one table in one region. All fields but Copies are required. Wrong ones are
// reported by each call, all at once. Its methods are safe for concurrent use, in any number of processes.
type Writer struct {
	Client WriteAPI
	Table  string
	Region string // the table's: AWS_REGION in a Lambda function
	// Copies is how many copies are kept, alike; 0 means 1, and the most is [MaxCopies]. Raise it here before
	// followers, and lower it there first: a follower of a copy that nobody writes learns nothing.
	Copies int
}

// Append appends the changes of these messages to the journals of their prefixes, and returns when they are there.
// Two calls at the same time lose nothing: each write is conditional on what was read, and is repeated until it
// succeeds or ctx ends. A message without changes, which means that anything may have changed, is a [Writer.Renew].
// One prefix's failure does not keep the others back. After an error, append all again: what is appended twice
// is only invalidated twice.
func (w *Writer) Append(ctx context.Context, published []change.Message) error {
	if err := w.check(); err != nil {
		return err
	}
	var prefixes []string // in the order of their first messages
	appended := map[string][]entry{}
	renewed := map[string]bool{}
	for _, m := range published {
		if !slices.Contains(prefixes, m.Prefix) {
			prefixes = append(prefixes, m.Prefix)
		}
		renewed[m.Prefix] = renewed[m.Prefix] || len(m.Changes) == 0
		for _, c := range m.Changes {
			appended[m.Prefix] = append(appended[m.Prefix], newEntry(c))
		}
	}
	var problems []error
	for _, prefix := range prefixes {
		err := w.update(ctx, prefix, appended[prefix], renewed[prefix])
		if err != nil {
			problems = append(problems, fmt.Errorf("append to journal %q in table %q: %w", name(prefix, w.Region, 0), w.Table, err))
		}
	}
	return errors.Join(problems...)
}

// Renew gives the journal of a prefix a new epoch, at which every follower takes it that anything may have changed:
// for when it is not known what changed.
func (w *Writer) Renew(ctx context.Context, prefix string) error {
	return w.Append(ctx, []change.Message{{Prefix: prefix}})
}

// check says all that is wrong with the fields in one error; nil if nothing is.
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

// The pause before a conflicting write is repeated: random, and longer each time.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// update reads the first copy and writes all, until nobody else wrote between the two. A new journal, and one that is
// renewed, gets an epoch of its own. A write whose answer was lost is made twice, as its condition fails at the second try:
// its changes are then in the journal twice, which costs a follower nothing but a read. All entries are carried along; what
// does not fit any more falls out in makeRow.
func (w *Writer) update(ctx context.Context, prefix string, appended []entry, renew bool) error {
	for attempt := 0; ; attempt++ {
		var was *state
		if !renew {
			var err error
			if was, err = w.read(ctx, prefix); err != nil {
				return err
			}
		}
		next := &state{epoch: rand.Text()}
		if was != nil {
			*next = *was
		}
		next.seq += int64(len(appended))
		next.entries = slices.Concat(next.entries, appended)
		err := w.write(ctx, prefix, was, next)
		if err == nil || !isConflict(err) {
			return err
		}
		timer := time.NewTimer(mathrand.N(min(firstPause<<min(attempt, 10), lastPause)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up after %d attempts: %w", attempt+1, errors.Join(ctx.Err(), err))
		}
	}
}

// read reads the first copy, strongly consistent. One that cannot be understood is as good as none: a new epoch heals
// it.
func (w *Writer) read(ctx context.Context, prefix string) (*state, error) {
	out, err := w.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &w.Table, Key: rowKey(name(prefix, w.Region, 0)), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	s, err := parseRow(out.Item)
	if err != nil || s == nil || s.decode() != nil {
		return nil, nil //nolint:nilerr // as said above
	}
	return s, nil
}

// write writes all copies, if the first one still has the epoch and the sequence that was read. The others are never
// written without it, so its condition is enough for all. What begins a new epoch may be written over anything else:
// whatever somebody else wrote in between, every follower will take it that anything may have changed. But not over
// that same epoch: the AWS client repeats a write whose answer is late, and what it sent first may come last, when
// others have appended. Where that refuses the repetition of a write that came through, the changes are appended once
// more, or the epoch is renewed once more.
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

// isConflict says whether a write failed because of another one, or because the table was too busy for a transaction. Then it
// is worth while to read again. Throttling of a single put is not among these: by default the AWS SDK has retried that already.
func isConflict(err error) bool {
	var held *types.ConditionalCheckFailedException
	var conflict *types.TransactionConflictException
	if errors.As(err, &held) || errors.As(err, &conflict) {
		return true
	}
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		return false
	}
	for _, reason := range canceled.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "", "None", "ConditionalCheckFailed", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError":
		default:
			return false // such as a validation error, which time does not heal
		}
	}
	return true
}
