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

// LaunchDarkly's schema for big segments, in the same table. The Relay Proxy writes it; here it is only read. A
// row {namespace: "[prefix:]big_segments_user", key: <hash of a context's key>, included, excluded} holds the
// segments of one context as two string sets, either of which may be missing. The metadata's row has its
// namespace as its key.
const (
	attrSynchronizedOn = "synchronizedOn" // milliseconds since 1970
	attrIncluded       = "included"
	attrExcluded       = "excluded"
)

var (
	_ subsystems.ComponentConfigurer[subsystems.BigSegmentStore] = (*BigSegmentBuilder)(nil)
	_ subsystems.DiagnosticDescription                           = (*BigSegmentBuilder)(nil)
)

// BigSegmentBuilder configures a store of big segments; hand it to ldcomponents.BigSegments. Errors of
// configuration are reported by Build, all at once. It is not safe for concurrent use.
type BigSegmentBuilder struct{ inner *Builder }

// BigSegmentStore begins the configuration of a store of big segments
// (https://launchdarkly.com/docs/sdk/features/big-segments) on a table that the Relay Proxy keeps. The defaults are
// those of [DataStore].
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

// Build makes the store for a LaunchDarkly client. It is called by the SDK. It does not call DynamoDB.
func (b *BigSegmentBuilder) Build(subsystems.ClientContext) (subsystems.BigSegmentStore, error) {
	s, err := b.inner.Open(context.Background())
	if err != nil {
		return nil, err
	}
	return bigSegments{s}, nil
}

// DescribeConfiguration names the kind of store in LaunchDarkly's diagnostics.
func (b *BigSegmentBuilder) DescribeConfiguration(c subsystems.ClientContext) ldvalue.Value {
	return b.inner.DescribeConfiguration(c)
}

// bigSegments reads big segments, strongly consistent, each call within 30 seconds.
type bigSegments struct{ store *Store }

// GetMetadata says when the Relay Proxy last brought the table up to date; 0 for never.
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

// GetMembership reads the segments that a context is explicitly in or out of.
func (b bigSegments) GetMembership(contextHash string) (subsystems.BigSegmentMembership, error) {
	namespace := b.store.rows.Namespace(layout.BigSegmentsUser)
	r, err := b.read(layout.BigSegmentsUser, contextHash)
	if err != nil {
		return nil, err
	}
	var sets [2][]string
	for i, name := range []string{attrIncluded, attrExcluded} {
		switch a := r[name].(type) {
		case nil: // DynamoDB has no empty sets: it is missing instead
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

// read reads one row, nil for none, as GetItem's strongly consistent read. LaunchDarkly's interface has no context.
func (b bigSegments) read(kind, key string) (table.Row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return b.store.rows.ReadRow(ctx, kind, key)
}
