package dynamostore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldtime"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"

	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// LaunchDarkly's schema for big segments, in the same table. The Relay Proxy writes these rows; this package only
// reads them. A row {namespace: "[prefix:]big_segments_user", key: <hash of a context's key>, included, excluded} has
// the segments of one context as two string sets, each of which may be missing. The metadata's row has its namespace
// as its key.
const (
	attrSynchronizedOn = "synchronizedOn" // milliseconds since 1970
	attrIncluded       = "included"
	attrExcluded       = "excluded"
)

var (
	_ subsystems.ComponentConfigurer[subsystems.BigSegmentStore] = (*BigSegmentBuilder)(nil)
	_ subsystems.DiagnosticDescription                           = (*BigSegmentBuilder)(nil)
)

// BigSegmentBuilder configures a store of big segments; pass it to ldcomponents.BigSegments. Build reports all
// configuration errors at once. A BigSegmentBuilder is not safe for concurrent use.
type BigSegmentBuilder struct{ inner *Builder }

// BigSegmentStore returns a builder for a store of big segments
// (https://launchdarkly.com/docs/sdk/features/big-segments) on a table to which the Relay Proxy writes them. The
// defaults are those of [DataStore].
func BigSegmentStore(tableName string) *BigSegmentBuilder {
	return &BigSegmentBuilder{DataStore(tableName)}
}

// Prefix is as in [Builder.Prefix].
func (b *BigSegmentBuilder) Prefix(prefix string) *BigSegmentBuilder {
	b.inner.Prefix(prefix)
	return b
}

// Client is as in [Builder.Client].
func (b *BigSegmentBuilder) Client(client API) *BigSegmentBuilder { b.inner.Client(client); return b }

// AWSConfig is as in [Builder.AWSConfig].
func (b *BigSegmentBuilder) AWSConfig(cfg aws.Config) *BigSegmentBuilder {
	b.inner.AWSConfig(cfg)
	return b
}

// Build makes the store for a LaunchDarkly client. The SDK calls it. It does not call DynamoDB.
func (b *BigSegmentBuilder) Build(subsystems.ClientContext) (subsystems.BigSegmentStore, error) {
	s, err := b.inner.Open(context.Background())
	if err != nil {
		return nil, err
	}
	return bigSegments{s}, nil
}

// DescribeConfiguration returns the kind of store for LaunchDarkly's diagnostics.
func (b *BigSegmentBuilder) DescribeConfiguration(c subsystems.ClientContext) ldvalue.Value {
	return b.inner.DescribeConfiguration(c)
}

// bigSegments reads big segments with strongly consistent reads. Each call has a timeout of 30 seconds.
type bigSegments struct{ store *Store }

// GetMetadata returns when the Relay Proxy last updated the table; 0 means never.
func (b bigSegments) GetMetadata() (subsystems.BigSegmentStoreMetadata, error) {
	var m subsystems.BigSegmentStoreMetadata
	marker := b.store.rows.Namespace(layout.BigSegmentsMetadata)
	r, err := b.read(layout.BigSegmentsMetadata, marker)
	if err != nil || r[attrSynchronizedOn] == nil {
		return m, err
	}
	n, ok := r[attrSynchronizedOn].(*types.AttributeValueMemberN)
	if !ok {
		return m, fmt.Errorf("read row %q %q of table %q: attribute %q is not a number", marker, marker,
			b.store.rows.Table, attrSynchronizedOn)
	}
	ms, err := strconv.ParseUint(n.Value, 10, 64)
	if err != nil {
		return m, fmt.Errorf("read row %q %q of table %q: attribute %q: %w", marker, marker, b.store.rows.Table,
			attrSynchronizedOn, err)
	}
	m.LastUpToDate = ldtime.UnixMillisecondTime(ms)
	return m, nil
}

// GetMembership returns the segments that explicitly include or exclude a context.
func (b bigSegments) GetMembership(contextHash string) (subsystems.BigSegmentMembership, error) {
	namespace := b.store.rows.Namespace(layout.BigSegmentsUser)
	r, err := b.read(layout.BigSegmentsUser, contextHash)
	if err != nil {
		return nil, err
	}
	var sets [2][]string
	for i, name := range []string{attrIncluded, attrExcluded} {
		switch a := r[name].(type) {
		case nil: // DynamoDB has no empty sets, so an empty set is a missing attribute
		case *types.AttributeValueMemberSS:
			sets[i] = a.Value
		default:
			return nil, fmt.Errorf("read row %q %q of table %q: attribute %q is not a set of strings", namespace,
				contextHash, b.store.rows.Table, name)
		}
	}
	return ldstoreimpl.NewBigSegmentMembershipFromSegmentRefs(sets[0], sets[1]), nil
}

// Close does nothing.
func (b bigSegments) Close() error { return nil }

// read returns one row, or nil if it does not exist. LaunchDarkly's interface has no context, so read has a timeout.
func (b bigSegments) read(kind, key string) (table.Row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return b.store.rows.ReadRow(ctx, kind, key)
}
