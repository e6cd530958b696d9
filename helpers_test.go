package warmflags_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

const (
	table  = "flags"
	region = "eu-west-1"
	prefix = "production"
	key    = "new-checkout"
)

var user = ldcontext.New("ada")

// stack is a flag table, its journal, and a log.
type stack struct {
	*localaws.Cloud
	t       testing.TB
	store   *dynamostore.Store
	writer  *journal.Writer
	version int
	log     logBuffer
}

// newStack makes a table with one flag, which is off, for the prefix.
func newStack(t testing.TB) *stack {
	cloud := localaws.New()
	t.Cleanup(cloud.Close)
	cloud.CreateFlagTable(table)
	s := &stack{Cloud: cloud, t: t, writer: &journal.Writer{Client: cloud.DynamoDB, Table: table, Region: region}}
	var err error
	s.store, err = dynamostore.DataStore(table).Prefix(prefix).Client(cloud.DynamoDB).Open(t.Context())
	require.NoError(t, err)
	require.NoError(t,
		s.store.Init([]st.SerializedCollection{{Kind: ldstoreimpl.Features(), Items: []st.KeyedSerializedItemDescriptor{
			{Key: key, Item: s.flag(false)},
		}}}))
	s.append()
	return s
}

func (s *stack) flag(on bool) st.SerializedItemDescriptor {
	s.version++
	return st.SerializedItemDescriptor{Version: s.version,
		SerializedItem: fmt.Appendf(nil, `{"key":%q,"version":%d,"on":%t,`+
			`"offVariation":1,"fallthrough":{"variation":0},"variations":[true,false],"salt":"s"}`, key, s.version, on)}
}

// flip writes the flag to the table, and the change to the journal.
func (s *stack) flip(on bool) {
	s.t.Helper()
	_, err := s.store.Upsert(ldstoreimpl.Features(), key, s.flag(on))
	require.NoError(s.t, err)
	s.append()
}

func (s *stack) append() {
	s.t.Helper()
	require.NoError(s.t, s.writer.Append(context.Background(), []change.Message{{
		Prefix: prefix, Changes: []change.Change{{Kind: change.KindFeatures, Key: key, Version: s.version}},
	}}))
}

// options returns the options of a client of this table, followed by more.
func (s *stack) options(more ...warmflags.Option) []warmflags.Option {
	return append([]warmflags.Option{
		warmflags.Table(table), warmflags.Prefix(prefix), warmflags.DynamoDB(s.DynamoDB),
		warmflags.Journal(journal.Region(region)), warmflags.Logger(slog.New(slog.NewTextHandler(&s.log, nil))),
		warmflags.LaunchDarkly(ld.Config{Logging: ldcomponents.NoLogging()}),
	}, more...)
}

func (s *stack) open(more ...warmflags.Option) *warmflags.Flags {
	s.t.Helper()
	flags, err := warmflags.Open(s.t.Context(), s.options(more...)...)
	require.NoError(s.t, err)
	return flags
}

// evaluate returns the flag's value, and fails the test if it is a default.
func evaluate(t testing.TB, flags *warmflags.Flags) bool {
	t.Helper()
	on, err := flags.Client.BoolVariation(key, user, false)
	require.NoError(t, err)
	return on
}

// logBuffer is safe for concurrent use.
type logBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func (s *stack) storeOf(prefix string) (*dynamostore.Store, error) {
	return dynamostore.DataStore(table).Prefix(prefix).Client(s.DynamoDB).Open(s.t.Context())
}
