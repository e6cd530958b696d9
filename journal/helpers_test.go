package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

const (
	table  = "flags"
	region = "eu-west-1"
)

// sink records its calls: the keys of Invalidate, "*" for InvalidateAll, "wake" for Wake.
type sink struct {
	mu    sync.Mutex // guards calls
	calls []string
}

func (s *sink) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, what)
}

func (s *sink) Invalidate(changes ...change.Change) {
	for _, c := range changes {
		s.note(c.Key)
	}
}
func (s *sink) InvalidateAll() { s.note("*") }
func (s *sink) Wake()          { s.note("wake") }

// take returns the calls since the last take.
func (s *sink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// account is an AWS account with a flag table, a writer of its journal, and a log.
type account struct {
	*localaws.Cloud
	t      *testing.T
	writer *journal.Writer
	log    *buffer
}

// buffer is a log that several followers write.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newAccount(t *testing.T) *account {
	cloud := localaws.New()
	cloud.CreateFlagTable(table)
	return &account{cloud, t, &journal.Writer{Client: cloud.DynamoDB, Table: table, Region: region}, &buffer{}}
}

// follow creates a follower of the account's journal; its interval is 1 second.
func (a *account) follow(s change.Sink, options ...journal.Option) *journal.Follower {
	return journal.Follow(table, s, append([]journal.Option{
		journal.Client(a.DynamoDB), journal.Region(region), journal.Logger(slog.New(slog.NewTextHandler(a.log, nil))),
	}, options...)...)
}

// append appends changes of features without a prefix, all in one call.
func (a *account) append(keys ...string) {
	a.t.Helper()
	require.NoError(a.t, a.writer.Append(a.t.Context(), []change.Message{message("", keys...)}))
}

func message(prefix string, keys ...string) change.Message {
	m := change.Message{Prefix: prefix}
	for i, key := range keys {
		c := change.Change{Kind: change.KindFeatures, Key: key, Version: i + 1, Time: time.Now()}
		m.Changes = append(m.Changes, c)
	}
	return m
}

func keys(from, to int) (keys []string) {
	for i := from; i < to; i++ {
		keys = append(keys, fmt.Sprint("flag-", i))
	}
	return keys
}

type item = map[string]types.AttributeValue

// item reads the row of a copy of a journal.
func (a *account) item(name string) item {
	a.t.Helper()
	out, err := a.DynamoDB.GetItem(context.Background(), &dynamodb.GetItemInput{TableName: aws.String(table), Key: item{
		"namespace": &types.AttributeValueMemberS{Value: name}, "key": &types.AttributeValueMemberS{Value: name},
	}})
	require.NoError(a.t, err)
	return out.Item
}

// read reads a copy of a journal; entries are keys.
func (a *account) read(name string) (epoch string, seq int, entries []string) {
	a.t.Helper()
	found := a.item(name)
	require.NotNil(a.t, found, name)
	seq, err := strconv.Atoi(found["seq"].(*types.AttributeValueMemberN).Value)
	require.NoError(a.t, err)
	var list []struct {
		Key string `json:"n"`
	}
	require.NoError(a.t, json.Unmarshal([]byte(text(found["entries"])), &list))
	for _, e := range list {
		entries = append(entries, e.Key)
	}
	return text(found["epoch"]), seq, entries
}

func text(v types.AttributeValue) string { return v.(*types.AttributeValueMemberS).Value }

// counts returns a follower's Stats without its times.
func counts(f *journal.Follower) journal.Stats {
	s := f.Stats()
	s.LastPoll, s.LastChange = time.Time{}, time.Time{}
	return s
}

// logged returns the log. A poll logs after its callers have returned, so logged waits until all polls are idle.
func (a *account) logged() string {
	synctest.Wait()
	return a.log.String()
}
