package journal

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/change"
)

// Content is the content of a journal.
type Content struct {
	// Epoch is random. A new one means that anything may have changed.
	Epoch string
	// Seq is the sequence number of the latest change in this epoch; the first one is 1.
	Seq int64
	// Changes are the latest changes, oldest first, as many as fit into the item. They have no time.
	Changes []change.Change
}

// Read reads a journal with one strongly consistent read. It is for tools; other processes use a [Follower]. It returns
// nil if there is no journal for the prefix and region.
func Read(ctx context.Context, client ReadAPI, table, prefix, region string) (*Content, error) {
	out, err := client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &table, Key: rowKey(name(prefix, region, 0)), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("read journal of prefix %q in table %q: %w", prefix, table, err)
	}
	j, err := parseRow(out.Item)
	if j != nil && err == nil {
		err = j.decode()
	}
	if err != nil {
		return nil, fmt.Errorf("read journal of prefix %q in table %q: %w", prefix, table, err)
	}
	if j == nil {
		return nil, nil
	}
	c := &Content{Epoch: j.epoch, Seq: j.seq}
	c.Changes, _ = j.since(j.seq - int64(len(j.entries)))
	return c, nil
}
