package synchistory

import (
	"context"
	"errors"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/table"
)

// errCrash is the error of every call after a crash: a crashed process has no effect any more.
var errCrash = errors.New("crashed")

// actor is a program that works on the table: a sync or another SDK. It is also that program's DynamoDB client and
// its LaunchDarkly. It runs only from a turn that the scheduler gives it until its next pause.
type actor struct {
	history *history
	name    string
	turn    chan struct{}
	crashes int // at this call; 0: never
	calls   int
	sdk     bool // another program: its writes are not judged

	// The state of the current sync.
	mood      mood
	stalled   bool // LaunchDarkly's stream sends nothing after the payload
	token     int64
	asked     int          // number of changes in the payload
	delivered bool         // the sync has its payload
	confirmed bool         // the sync had the newest token after it read the table
	seen      map[name]row // the table as it was compared with the payload
	synced    bool         // a handler has run a sync, and err is its error
	err       error
}

var _ table.API = (*actor)(nil)

// begin resets the state of the last sync, and chooses how LaunchDarkly answers the next one.
func (a *actor) begin() {
	a.token, a.asked, a.delivered, a.confirmed, a.seen = 0, 0, false, false, map[name]row{}
	a.synced, a.err = false, nil
	a.mood, a.stalled = well, a.history.chance(2)
	if a.history.chance(6) {
		a.mood = []mood{down, empty, refuses}[a.history.rng.IntN(3)]
	}
}

func (a *actor) asks(changes int) { a.asked = changes }

// pause lets other actors run. Its error means that the actor crashed.
func (a *actor) pause() error {
	if a.history.calm {
		return nil
	}
	a.history.paused <- a
	<-a.turn
	a.calls++
	if a.crashes > 0 && a.calls > a.crashes {
		a.history.report.Crashes++
		return errCrash
	}
	return nil
}

// disturb returns an error in place of a call, or, with after, in place of its response; nil: the call is not
// disturbed.
func (a *actor) disturb(after bool, transaction []types.TransactWriteItem) error {
	h := a.history
	switch {
	case h.calm:
		return nil
	case after && a.crashes > 0 && a.calls >= a.crashes:
		return errCrash // after the call was made
	case after && h.chance(30):
		return &smithy.GenericAPIError{Code: "RequestTimeout"}
	case after:
		return nil
	case h.chance(8):
		return &types.ProvisionedThroughputExceededException{}
	case transaction != nil && h.chance(8):
		canceled := &types.TransactionCanceledException{}
		for range transaction {
			code := []string{"None", "TransactionConflict", "ThrottlingError"}[h.rng.IntN(3)]
			canceled.CancellationReasons = append(canceled.CancellationReasons, types.CancellationReason{Code: &code})
		}
		return canceled
	}
	return nil
}

// call makes a call, which may be disturbed, and records its effect with note.
func call[In, Out any](ctx context.Context, a *actor, in In,
	do func(context.Context, In, ...func(*dynamodb.Options)) (Out, error),
	note func(Out), transaction []types.TransactWriteItem) (Out, error) {
	var none Out
	if err := a.pause(); err != nil {
		return none, err
	}
	if err := a.disturb(false, transaction); err != nil {
		return none, err
	}
	out, err := do(ctx, in)
	if err != nil {
		return out, err
	}
	note(out)
	if err := a.disturb(true, transaction); err != nil {
		return none, err
	}
	return out, nil
}

// GetItem reads a row.
func (a *actor) GetItem(ctx context.Context, in *dynamodb.GetItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return call(ctx, a, in, a.history.client.GetItem, func(*dynamodb.GetItemOutput) {}, nil)
}

// Query reads a kind's rows.
func (a *actor) Query(ctx context.Context, in *dynamodb.QueryInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return call(ctx, a, in, a.history.client.Query, func(out *dynamodb.QueryOutput) {
		for _, r := range out.Items {
			if n, ok := a.history.nameOf(r); ok {
				a.seen[n] = rowOf(r)
			}
		}
	}, nil)
}

// PutItem is another SDK's upsert.
func (a *actor) PutItem(ctx context.Context, in *dynamodb.PutItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return call(ctx, a, in, a.history.client.PutItem, func(*dynamodb.PutItemOutput) {
		if n, ok := a.history.nameOf(in.Item); ok {
			a.history.foreign(n, rowOf(in.Item))
		}
	}, nil)
}

// UpdateItem takes a token, or records the end of the sync if its token is still the newest.
func (a *actor) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return call(ctx, a, in, a.history.client.UpdateItem, func(*dynamodb.UpdateItemOutput) {
		if in.ConditionExpression == nil {
			a.token, a.confirmed = a.history.token(), false
		} else if in.ExpressionAttributeValues[":token"] != nil {
			a.confirmed = a.history.token() == a.token
		}
	}, nil)
}

// TransactWriteItems makes a transaction, which judge checks.
func (a *actor) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	var before map[name]row
	var token int64
	do := func(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
		o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
		before, token = a.history.table(), a.history.token()
		return a.history.client.TransactWriteItems(ctx, in, o...)
	}
	return call(ctx, a, in, do, func(*dynamodb.TransactWriteItemsOutput) { a.history.judge(a, before, token) },
		in.TransactItems)
}

// row is an item's row: its version and its JSON. The zero row means that there is none.
type row struct {
	version int
	item    string
}

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

// environment returns the environment in the table, with the actor as the client.
func (h *history) environment(a *actor) *table.Environment {
	return &table.Environment{Client: a, Table: h.Table, Prefix: h.Prefix}
}

// open returns a store with the actor as the client.
func (h *history) open(ctx context.Context, api dynamostore.API) (*dynamostore.Store, error) {
	return dynamostore.DataStore(h.Table).Prefix(h.Prefix).Client(api).Open(ctx)
}

// namespace returns the partition key of a kind or a marker.
func (h *history) namespace(of string) string {
	if h.Prefix == "" {
		return of
	}
	return h.Prefix + ":" + of
}

// token returns the table's newest fencing token.
func (h *history) token() int64 {
	n := h.namespace("$sync")
	out, err := h.client.GetItem(h.ctx, &dynamodb.GetItemInput{
		TableName: &h.Table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"namespace": &types.AttributeValueMemberS{Value: n},
			"key": &types.AttributeValueMemberS{Value: n}},
	})
	if err != nil {
		h.wrong("read the fencing token: %v", err)
		return 0
	}
	return int64(rowOf(out.Item).version)
}

// syncLog is the log handler of an actor's syncs. It passes the error of each sync to the actor.
type syncLog struct{ a *actor }

func (syncLog) Enabled(context.Context, slog.Level) bool { return true }

func (l syncLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "flags synced" && r.Message != "flags not synced" {
		return nil
	}
	l.a.synced, l.a.err = true, nil
	r.Attrs(func(attr slog.Attr) bool {
		if err, ok := attr.Value.Any().(error); ok && attr.Key == "error" {
			l.a.err = err
		}
		return true
	})
	return nil
}

func (l syncLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l syncLog) WithGroup(string) slog.Handler { return l }
