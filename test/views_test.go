package test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/test/emulator"
)

// stream is streamhandler on a table's stream in DynamoDB Local, with the journal in the same table.
type stream struct {
	t       *testing.T
	table   string
	handler *streamhandler.Handler
	done    chan string // the last key of each handled batch

	mu       sync.Mutex                       // guards the following
	changes  map[string]change.Change         // published, by namespace and key
	appended map[string]bool                  // appended to a journal, by namespace and key
	refuse   func(prefix string) (wrong bool) // reports whether a prefix's journal write must fail
}

func (s *stream) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	m, err := change.Parse([]byte(*in.Message))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range m.Changes {
		s.changes[namespaceOf(m.Prefix, c.Kind)+" "+c.Key] = c
	}
	return &sns.PublishOutput{}, err
}

// append writes to the journal, or to a table that does not exist if refuse says so for the prefix.
func (s *stream) append(ctx context.Context, published []change.Message) error {
	prefix := published[0].Prefix
	writer := journal.Writer{Client: emulator.DynamoDB(), Table: s.table, Region: emulator.Region, Copies: 2}
	s.mu.Lock()
	if s.refuse != nil && s.refuse(prefix) {
		writer.Table = "missing-" + s.table
	}
	s.mu.Unlock()
	if err := writer.Append(ctx, published); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range published {
		for _, c := range m.Changes {
			s.appended[namespaceOf(prefix, c.Kind)+" "+c.Key] = true
		}
	}
	return nil
}

func startStreamOf(t *testing.T, view types.StreamViewType) *stream {
	t.Helper()
	s := &stream{t: t, table: newTableWith(t, view), done: make(chan string, 1000), changes: map[string]change.Change{},
		appended: map[string]bool{}}
	s.handler = streamhandler.New(s, streamhandler.TopicARN("arn:aws:sns:us-east-1:000000000000:flags"),
		streamhandler.Logger(quiet),
		streamhandler.OnPublished(s.append))
	return s
}

// run runs the function on the stream from its beginning, with the filter of template.yaml.
func (s *stream) run() {
	s.t.Helper()
	mapping := localaws.StreamMapping{
		Streams: emulator.Streams(), StreamARN: streamOf(s.t, s.table), Filter: invokesStreamhandler,
		Poll: 5 * time.Millisecond, Logger: quiet,
		Handler: func(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			response, err := s.handler.Handle(ctx, e)
			if err == nil && len(response.BatchItemFailures) == 0 {
				s.done <- e.Records[len(e.Records)-1].Change.Keys["key"].String()
			}
			return response, err
		},
	}
	runToTheEnd(s.t.Context(), s.t, "run streamhandler on the stream", mapping.Run)
}

// await waits until a batch that ends with the key was handled.
func (s *stream) await(key string) {
	s.t.Helper()
	for receive(s.t, s.done, "end of the batch with "+key) != key {
		continue
	}
}

func (s *stream) put(namespace, key string, item types.AttributeValue) {
	s.t.Helper()
	row := keyOf(rowName{namespace, key})
	row["version"] = &types.AttributeValueMemberN{Value: "2"}
	if item != nil {
		row["item"] = item
	}
	require.NoError(s.t, putRow(s.t, s.table, row))
}

func flagText(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// With every view type of an adopted table's stream, each flag's change is announced and appended to the journal, and
// no row blocks the shard, not even one whose prefix is too long for a journal. Rows that no SDK reads are announced
// only if the stream does not contain them.
func TestStreamsOfEveryViewType(t *testing.T) {
	for view, imagesOfNew := range map[types.StreamViewType]bool{
		types.StreamViewTypeKeysOnly: false, types.StreamViewTypeOldImage: false,
		types.StreamViewTypeNewImage: true, types.StreamViewTypeNewAndOldImages: true,
	} {
		t.Run(string(view), func(t *testing.T) {
			t.Parallel()
			s := startStreamOf(t, view)
			s.put("prod:$inited", "prod:$inited", nil)
			s.put("prod:features", "flag", flagText(`{"key":"flag","version":2,"deleted":false}`))
			s.put("prod:features", "gone", flagText("null"))
			s.put("prod:features", "tombstone", flagText(`{"version":2,"deleted":true}`))
			s.put("prod:features", "auto-config", &types.AttributeValueMemberB{Value: []byte("{}")})
			s.put(strings.Repeat("p", 1010)+":features", "flag", flagText("{}"))
			s.put("prod:big_segments_user", "user", flagText("{}"))
			s.put("segments", "segment", flagText("{}"))
			s.put("prod:segments", "last", flagText("{}"))
			s.run()
			s.await("last")

			s.mu.Lock()
			defer s.mu.Unlock()
			for _, name := range []string{"prod:features flag", "prod:features gone", "prod:features tombstone",
				"segments segment", "prod:segments last"} {
				assert.Contains(t, s.changes, name)
				assert.True(t, s.appended[name], name)
			}
			assert.Equal(t, !imagesOfNew, s.appended["prod:features auto-config"])
			assert.Len(t, s.changes, map[bool]int{true: 5, false: 6}[imagesOfNew])
			assert.Equal(t, imagesOfNew, s.changes["prod:features gone"].Deleted)
			assert.Equal(t, imagesOfNew, s.changes["prod:features tombstone"].Deleted)
			stats := s.handler.Stats()
			assert.Zero(t, stats.Failures, "nothing had to be retried")
			assert.Equal(t, 1, stats.Skipped[streamhandler.SkippedMalformed], "the long prefix")
			assert.Zero(t, stats.Skipped[streamhandler.SkippedOwn], "warmflags' own rows do not invoke the function")
		})
	}
}

// While the journal of one environment cannot be written, the journals of the others in its batch are. Once it can be
// written again, it gets every change.
func TestAFailingJournalDoesNotBlockOthers(t *testing.T) {
	s := startStreamOf(t, types.StreamViewTypeNewAndOldImages)
	failures, recovered := 0, false // guarded by s.mu
	enough := make(chan struct{})
	s.refuse = func(prefix string) bool {
		if prefix != "stage" || recovered {
			return false
		}
		if failures++; failures == 3 {
			close(enough)
		}
		return true
	}
	s.put("stage:features", "first", flagText("{}"))
	s.put("prod:features", "flag", flagText("{}"))
	s.put("features", "flag", flagText("{}"))
	s.run()
	waitFor(t, enough, "third failure")
	s.mu.Lock()
	assert.True(t, s.appended["prod:features flag"])
	assert.True(t, s.appended["features flag"])
	assert.False(t, s.appended["stage:features first"])
	recovered = true
	s.mu.Unlock()
	s.put("stage:features", "last", flagText("{}"))
	s.await("last")
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.True(t, s.appended["stage:features first"])
	assert.GreaterOrEqual(t, s.handler.Stats().Failures, 3)
}

// The reason for layout.MaxPrefix: DynamoDB refuses the key of a journal with a longer one.
func TestAJournalOfALongPrefixIsRefused(t *testing.T) {
	writer := journal.Writer{Client: emulator.DynamoDB(), Table: newFlagTable(t), Region: emulator.Region}
	message := change.Message{Prefix: strings.Repeat("p", 1010), Changes: []change.Change{{Kind: "features", Key: "a"}}}
	err := writer.Append(t.Context(), []change.Message{message})
	require.Error(t, err)
	var refused interface{ ErrorCode() string }
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "ValidationException", refused.ErrorCode())
	message.Prefix = strings.Repeat("p", 512)
	require.NoError(t, writer.Append(t.Context(), []change.Message{message}))
}

// DynamoDB refuses to write several copies of such a journal as a canceled transaction. streamhandler recognizes that,
// so the record does not block the shard.
func TestARefusedTransactionDoesNotBlock(t *testing.T) {
	s := startStreamOf(t, types.StreamViewTypeNewAndOldImages)
	writer := journal.Writer{Client: emulator.DynamoDB(), Table: s.table, Region: emulator.Region, Copies: 2}
	handler := streamhandler.New(s, streamhandler.TopicARN("arn:aws:sns:us-east-1:000000000000:flags"),
		streamhandler.Logger(quiet),
		streamhandler.OnPublished(func(ctx context.Context, _ []change.Message) error {
			err := writer.Renew(ctx, strings.Repeat("p", 1010))
			var canceled *types.TransactionCanceledException
			assert.ErrorAs(t, err, &canceled)
			return err
		}))
	response, err := handler.Handle(t.Context(), events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{{
		EventName: "MODIFY", Change: events.DynamoDBStreamRecord{SequenceNumber: "1",
			Keys: map[string]events.DynamoDBAttributeValue{"namespace": events.NewStringAttribute("features"),
				"key": events.NewStringAttribute("flag")}},
	}}})
	require.NoError(t, err)
	assert.Empty(t, response.BatchItemFailures)
	assert.Equal(t, 1, handler.Stats().NotPassedOn)
}

// newTableWith creates a flag table whose stream has the view type.
func newTableWith(t *testing.T, view types.StreamViewType) string {
	t.Helper()
	name := newFlagTable(t)
	if view == types.StreamViewTypeNewAndOldImages {
		return name
	}
	for _, spec := range []*types.StreamSpecification{{StreamEnabled: aws.Bool(false)}, {StreamEnabled: aws.Bool(true),
		StreamViewType: view}} {
		_, err := emulator.DynamoDB().UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: &name,
			StreamSpecification: spec})
		require.NoError(t, err)
	}
	return name
}
