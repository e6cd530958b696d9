package v4store_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"strings"
	"syscall"
	"testing"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/internal/proof/v4test/suite"
	"github.com/warmflags/warmflags/v4store"
	"github.com/warmflags/warmflags/v4store/internal/localv1"
)

const table = "flags"

// world is an AWS account with one table.
type world struct {
	cloud  *localaws.Cloud
	client *localv1.Client
	counts calls
}

// calls contains the number of calls per operation.
type calls = map[string]int

func newWorld() *world {
	cloud := localaws.New()
	cloud.CreateFlagTable(table)
	return &world{cloud: cloud, client: localv1.New(cloud.DynamoDB), counts: calls{}}
}

func (w *world) store(options ...v4store.TableOption) *v4store.Table[ld.VersionedDataKind, ld.VersionedData] {
	return v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData](table,
		append([]v4store.TableOption{v4store.Client(w.client)}, options...)...)
}

// intercept calls f before each DynamoDB call. If f returns an error, the call is not executed and returns that error.
func (w *world) intercept(f func(operation string, in any) error) {
	w.cloud.Intercept(func(_ context.Context, operation string, in any) error { return f(operation, in) })
}

// expect checks the numbers of calls since it was last called.
func (w *world) expect(t *testing.T, want calls, why string) {
	t.Helper()
	made := calls{}
	for _, operation := range []string{"GetItem", "Query", "PutItem", "TransactWriteItems"} {
		if n := w.cloud.Calls(operation); n > w.counts[operation] {
			made[operation] = n - w.counts[operation]
			w.counts[operation] = n
		}
	}
	assert.True(t, maps.Equal(want, made), "%s: %v, want %v", why, made, want)
}

// expectOf checks the number of all calls of an operation.
func (w *world) expectOf(t *testing.T, operation string, want int) {
	t.Helper()
	assert.Equal(t, want, w.cloud.Calls(operation), operation)
}

// put writes a row like another program would.
func (w *world) put(t *testing.T, namespace, key string, attributes map[string]types.AttributeValue) {
	t.Helper()
	row := map[string]types.AttributeValue{"namespace": str(namespace), "key": str(key)}
	maps.Copy(row, attributes)
	_, err := w.cloud.DynamoDB.PutItem(t.Context(), &v2.PutItemInput{TableName: aws.String(table), Item: row})
	require.NoError(t, err)
}

// row reads a row without the store. It returns nil if there is none.
func (w *world) row(t *testing.T, namespace, key string) map[string]types.AttributeValue {
	t.Helper()
	out, err := w.cloud.DynamoDB.GetItem(t.Context(), &v2.GetItemInput{
		TableName: aws.String(table), ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"namespace": str(namespace), "key": str(key)},
	})
	require.NoError(t, err)
	return out.Item
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// meddling is a client that calls before before each call, and after after each that succeeded. Their errors are
// returned instead of the call's answer.
type meddling struct {
	*localv1.Client
	before, after func(operation string) error
}

func meddled[In, Out any](
	m *meddling, operation string, ctx aws.Context, in In, call func(aws.Context, In, ...request.Option) (Out, error),
) (out Out, err error) {
	if m.before != nil {
		if err := m.before(operation); err != nil {
			return out, err
		}
	}
	out, err = call(ctx, in)
	if err == nil && m.after != nil {
		err = m.after(operation)
	}
	return out, err
}

func (m *meddling) GetItemWithContext(
	ctx aws.Context, in *dynamodb.GetItemInput, _ ...request.Option,
) (*dynamodb.GetItemOutput, error) {
	return meddled(m, "GetItem", ctx, in, m.Client.GetItemWithContext)
}

func (m *meddling) QueryWithContext(
	ctx aws.Context, in *dynamodb.QueryInput, _ ...request.Option,
) (*dynamodb.QueryOutput, error) {
	return meddled(m, "Query", ctx, in, m.Client.QueryWithContext)
}

func (m *meddling) PutItemWithContext(
	ctx aws.Context, in *dynamodb.PutItemInput, _ ...request.Option,
) (*dynamodb.PutItemOutput, error) {
	return meddled(m, "PutItem", ctx, in, m.Client.PutItemWithContext)
}

func (m *meddling) TransactWriteItemsWithContext(
	ctx aws.Context, in *dynamodb.TransactWriteItemsInput, _ ...request.Option,
) (*dynamodb.TransactWriteItemsOutput, error) {
	return meddled(m, "TransactWriteItems", ctx, in, m.Client.TransactWriteItemsWithContext)
}

// newSuiteTable returns a table for the suite, whose stores are wrapped.
func newSuiteTable(pageSize int, wrap func(ld.FeatureStore) ld.FeatureStore) suite.Table {
	w := newWorld()
	w.cloud.PageSize(pageSize)
	return suite.Table{Name: table, API: w.cloud.DynamoDB, V4: func(prefix string, beforeWrite func()) ld.FeatureStore {
		client := &meddling{Client: w.client, before: func(operation string) error {
			if beforeWrite != nil && operation != "GetItem" && operation != "Query" {
				beforeWrite()
			}
			return nil
		}}
		return wrap(w.store(v4store.Prefix(prefix), v4store.Client(client)))
	}}
}

// flags returns the data for an Init: flags given as "key:version", and no segments.
func flags(words ...string) map[ld.VersionedDataKind]map[string]ld.VersionedData {
	all := map[string]ld.VersionedData{}
	for _, word := range words {
		f := &ld.Flag{Salt: "s"}
		_, _ = fmt.Sscanf(strings.Replace(word, ":", " ", 1), "%s %d", &f.Key, &f.Version)
		all[f.Key] = f
	}
	return map[ld.VersionedDataKind]map[string]ld.VersionedData{ld.Segments: {}, ld.Features: all}
}

// errReset is the SDK's error for a broken connection.
var errReset = awserr.New(request.ErrCodeRequestError, "send request failed", syscall.ECONNRESET)

// logged returns the lines that are logged during a test.
func logged(t *testing.T) *bytes.Buffer {
	t.Helper()
	before, output := slog.Default(), log.Writer() // SetDefault also redirects package log
	t.Cleanup(func() { slog.SetDefault(before); log.SetOutput(output) })
	var out bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	return &out
}
