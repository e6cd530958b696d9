package dynamostore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

const table = "flags"

var features, segments = ldstoreimpl.Features(), ldstoreimpl.Segments()

// spy is a DynamoDB client that counts calls and can meddle with them.
type spy struct {
	dynamostore.API
	before, after func(op string, call int) error // call counts all calls from 1; an error is returned instead
	meddle        func(*dynamodb.TransactWriteItemsInput)

	mu    sync.Mutex // guards calls and ops
	calls int
	ops   map[string]int
}

func newSpy(t *testing.T) *spy {
	t.Helper()
	cloud := localaws.New()
	cloud.CreateFlagTable(table)
	return &spy{API: cloud.DynamoDB, ops: map[string]int{}}
}

func spied[In, Out any](ctx context.Context, s *spy, op string, in In, call func(context.Context, In, ...func(*dynamodb.Options)) (Out, error)) (out Out, err error) {
	s.mu.Lock()
	s.calls++
	n := s.calls
	s.ops[op]++
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(op, n); err != nil {
			return out, err
		}
	}
	out, err = call(ctx, in)
	if err == nil && s.after != nil {
		err = s.after(op, n)
	}
	return out, err
}

func (s *spy) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return spied(ctx, s, "GetItem", in, s.API.GetItem)
}

func (s *spy) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return spied(ctx, s, "Query", in, s.API.Query)
}

func (s *spy) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return spied(ctx, s, "PutItem", in, s.API.PutItem)
}

func (s *spy) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return spied(ctx, s, "UpdateItem", in, s.API.UpdateItem)
}

func (s *spy) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if s.meddle != nil {
		s.meddle(in)
	}
	return spied(ctx, s, "TransactWriteItems", in, s.API.TransactWriteItems)
}

// writes is the number of calls so far that could have written.
func (s *spy) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops["PutItem"] + s.ops["UpdateItem"] + s.ops["TransactWriteItems"]
}

func (s *spy) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.ops = 0, map[string]int{}
}

// put writes a row as another program would.
func (s *spy) put(t *testing.T, namespace, key string, attributes map[string]types.AttributeValue) {
	t.Helper()
	r := map[string]types.AttributeValue{"namespace": str(namespace), "key": str(key)}
	for name, a := range attributes {
		r[name] = a
	}
	_, err := s.API.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: r})
	require.NoError(t, err)
}

// row reads a row past the store; nil when there is none.
func (s *spy) row(t *testing.T, namespace, key string) map[string]types.AttributeValue {
	t.Helper()
	out, err := s.API.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String(table), ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"namespace": str(namespace), "key": str(key)},
	})
	require.NoError(t, err)
	return out.Item
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

func open(t *testing.T, api dynamostore.API, prefix string) *dynamostore.Store {
	t.Helper()
	s, err := dynamostore.DataStore(table).Prefix(prefix).Client(api).Open(t.Context())
	require.NoError(t, err)
	return s
}

// item makes a flag or segment; equal arguments make equal items.
func item(key string, version int) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{Version: version, SerializedItem: fmt.Appendf(nil, `{"key":%q,"version":%d,"salt":"s"}`, key, version)}
}

func tombstone(version int) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{Version: version, Deleted: true, SerializedItem: fmt.Appendf(nil, `{"version":%d,"deleted":true}`, version)}
}

func keyed(key string, i st.SerializedItemDescriptor) st.KeyedSerializedItemDescriptor {
	return st.KeyedSerializedItemDescriptor{Key: key, Item: i}
}

// data makes an environment from "flag:version" words, and the one segment "everyone".
func data(flags ...string) []st.SerializedCollection {
	all := []st.SerializedCollection{
		{Kind: segments, Items: []st.KeyedSerializedItemDescriptor{keyed("everyone", item("everyone", 1))}},
		{Kind: features},
	}
	for _, f := range flags {
		var key string
		var version int
		_, _ = fmt.Sscanf(strings.Replace(f, ":", " ", 1), "%s %d", &key, &version)
		all[1].Items = append(all[1].Items, keyed(key, item(key, version)))
	}
	return all
}

// many makes n flags of version 1, after which change gives some another version.
func many(n int, change map[int]int) []st.SerializedCollection {
	words := make([]string, n)
	for i := range words {
		version := 1
		if v, ok := change[i]; ok {
			version = v
		}
		words[i] = fmt.Sprintf("flag-%03d:%d", i, version)
	}
	return data(words...)
}

// flags are the table's flags, key to version.
func flags(t *testing.T, s *dynamostore.Store) map[string]int {
	t.Helper()
	all, err := s.GetAll(features)
	require.NoError(t, err)
	m := map[string]int{}
	for _, i := range all {
		m[i.Key] = i.Item.Version
	}
	return m
}

func keys(items []dynamostore.Item) (all []string) {
	for _, i := range items {
		all = append(all, i.Key)
	}
	return all
}
