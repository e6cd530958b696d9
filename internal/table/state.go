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
	// Synced and Held are the start times, just before they took their tokens, of two syncs: of the last one that
	// succeeded, and of the last one that failed for a reason that no retry can fix.
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

// NoteSince records when the environment was first seen without a sync, unless the row already has such a time.
func (e *Environment) NoteSince(ctx context.Context, now time.Time) error {
	err := e.setSyncTime(ctx, layout.AttrSince, now, "attribute_not_exists(#time)", nil)
	if isConditionFailed(err) {
		return nil
	}
	return err
}

// EndSync records the end of a sync that took its token after began. Held means that the sync failed for a reason
// that no retry can fix. If another sync has taken a newer token, EndSync records nothing and returns [ErrTokenLost].
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

// setSyncTime writes one time to the $sync row, subject to a condition. In the condition, #time is the attribute and
// :token the token.
func (e *Environment) setSyncTime(
	ctx context.Context, attribute string, at time.Time, condition string, token *int64,
) error {
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

// timeOf returns an attribute that is a time in milliseconds since 1970. It returns the zero time if the attribute is
// missing or is not a whole number.
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
