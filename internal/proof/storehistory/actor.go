package storehistory

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/dynamostore"
)

// errCrash is the error of every call after a crash: a crashed process has no effect any more.
var errCrash = errors.New("crashed")

// actor is a process that works on the table, and also its DynamoDB client. It runs only from a turn that the
// scheduler gives it until its next pause.
type actor struct {
	dynamostore.API // for calls that a store without a fencing token never makes
	history         *history
	name            string
	turn            chan struct{}
	crashes         int // after so many calls; 0: never
	calls           int

	// Of an Init.
	data   []st.SerializedCollection
	seen   map[name]row // the table as it was compared with the data
	seenAt int          // the step of that
}

// pause lets other actors run. Its error means that the actor crashed.
func (a *actor) pause() error {
	a.history.paused <- a
	<-a.turn
	a.calls++
	a.history.report.Calls++
	if a.crashes > 0 && a.calls > a.crashes {
		a.history.report.Crashes++
		return errCrash
	}
	return nil
}

// disturb returns an error in place of a call; nil: the call is not disturbed.
func (a *actor) disturb(transaction []types.TransactWriteItem) error {
	h := a.history
	switch {
	case h.rng.IntN(10) < 3:
		h.report.Throttled++
		return &types.ProvisionedThroughputExceededException{}
	case transaction != nil && h.chance(6):
		h.report.Canceled++
		canceled := &types.TransactionCanceledException{}
		for range transaction {
			code := []string{"None", "TransactionConflict", "ThrottlingError",
				"ProvisionedThroughputExceeded"}[h.rng.IntN(4)]
			canceled.CancellationReasons = append(canceled.CancellationReasons, types.CancellationReason{Code: &code})
		}
		return canceled
	}
	return nil
}

// call makes a call, which may be disturbed, and records its effect with note.
func call[In, Out any](ctx context.Context, a *actor, in In,
	do func(context.Context, In, ...func(*dynamodb.Options)) (Out, error),
	note func(), transaction []types.TransactWriteItem) (Out, error) {
	var none Out
	if err := a.pause(); err != nil {
		return none, err
	}
	if err := a.disturb(transaction); err != nil {
		return none, err
	}
	out, err := do(ctx, in)
	if err != nil {
		return out, err
	}
	note()
	if a.history.chance(20) {
		a.history.report.Silent++
		return none, &smithy.GenericAPIError{Code: "RequestTimeout"}
	}
	return out, nil
}

// GetItem reads a row.
func (a *actor) GetItem(ctx context.Context, in *dynamodb.GetItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return call(ctx, a, in, a.API.GetItem, func() {}, nil)
}

// Query reads a kind's rows: segments, which never change here, then flags, in one page.
func (a *actor) Query(ctx context.Context, in *dynamodb.QueryInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return call(ctx, a, in, a.API.Query, func() { a.seen, a.seenAt = a.history.table(), a.history.step }, nil)
}

// PutItem is an upsert.
func (a *actor) PutItem(ctx context.Context, in *dynamodb.PutItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return call(ctx, a, in, a.API.PutItem, func() {
		a.history.report.Upserts++
		a.history.wrote(a.history.nameOf(in.Item))
	}, nil)
}

// TransactWriteItems makes a transaction of Init, which judge checks unless its conditions cancel it.
func (a *actor) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	var before map[name]row
	do := func(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
		o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
		before = a.history.table()
		return a.API.TransactWriteItems(ctx, in, o...)
	}
	return call(ctx, a, in, do, func() {
		a.history.report.Transactions++
		a.history.judge(a, in.TransactItems, before)
		var rows []name
		for _, i := range in.TransactItems {
			rows = append(rows, a.history.target(i))
		}
		a.history.wrote(rows...)
		if slices.ContainsFunc(rows, name.isMarker) {
			a.history.complete(a, "marked the table")
		}
	}, in.TransactItems)
}
