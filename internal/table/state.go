package table

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// SyncState is what the $sync row records besides the fencing token. A zero time is not recorded.
type SyncState struct {
	// Since is when the environment was first seen without a sync.
	Since time.Time
	// Synced and Held are just before a sync took its token: the last one that succeeded, and the last one that ended
	// for a reason that no retry can fix.
	Synced, Held time.Time
}

// SyncState reads the $sync row.
func (e *Environment) SyncState(ctx context.Context) (SyncState, error) {
	r, err := e.ReadMarker(ctx, layout.MarkerSync)
	if err != nil {
		return SyncState{}, err
	}
	return SyncState{timeOf(r, layout.AttrSince), timeOf(r, layout.AttrSynced), timeOf(r, layout.AttrHeld)}, nil
}

// NoteSince records when the environment was first seen without a sync, unless the row has such a time.
func (e *Environment) NoteSince(ctx context.Context, now time.Time) error {
	err := e.setSyncTime(ctx, layout.AttrSince, now, "attribute_not_exists(#time)", nil)
	if isConditionFailed(err) {
		return nil
	}
	return err
}

// EndSync records the end of the sync that holds the token, and that took it after began. It is held if it ended for
// a reason that no retry can fix. The error is [ErrTokenLost] if another sync has taken a newer token; then nothing
// is recorded.
func (e *Environment) EndSync(ctx context.Context, token int64, began time.Time, held bool) error {
	attribute := layout.AttrSynced
	if held {
		attribute = layout.AttrHeld
	}
	err := e.setSyncTime(ctx, attribute, began, "#v = :token", &token)
	if isConditionFailed(err) {
		return ErrTokenLost
	}
	return err
}

// setSyncTime writes one time to the $sync row on a condition, in which the attribute is #time and the token is :token.
func (e *Environment) setSyncTime(ctx context.Context, attribute string, at time.Time, condition string,
	token *int64) error {
	namespace := e.Namespace(layout.MarkerSync)
	in := &dynamodb.UpdateItemInput{
		TableName: &e.Table, Key: Key(namespace, namespace),
		UpdateExpression:          aws.String("SET #time = :time"),
		ConditionExpression:       &condition,
		ExpressionAttributeNames:  map[string]string{"#time": attribute},
		ExpressionAttributeValues: Row{":time": Number(at.UnixMilli())},
	}
	if token != nil {
		in.ExpressionAttributeNames["#v"], in.ExpressionAttributeValues[":token"] = layout.AttrVersion, Number(*token)
	}
	err := withRetry(ctx, func(ctx context.Context) error {
		_, err := e.Client.UpdateItem(ctx, in, noSDKRetries)
		return err
	})
	if err != nil {
		return fmt.Errorf("record time %q of %q in table %q: %w", attribute, namespace, e.Table, err)
	}
	return nil
}

func isConditionFailed(err error) bool {
	var failed *types.ConditionalCheckFailedException
	return errors.As(err, &failed)
}

// timeOf returns a time attribute, in milliseconds since 1970. It is zero if the row does not have it, or has
// something else.
func timeOf(r Row, attribute string) time.Time {
	n, ok := r[attribute].(*types.AttributeValueMemberN)
	if !ok {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
