package journal_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

// replica answers an eventually consistent GetItem with an older item.
type replica struct {
	journal.ReadAPI
	old   *dynamodb.GetItemOutput
	reads int
}

func (r *replica) GetItem(
	ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	r.reads++
	if r.old != nil && !aws.ToBool(in.ConsistentRead) {
		return r.old, nil
	}
	return r.ReadAPI.GetItem(ctx, in, o...)
}

func TestAnOldReplicasAnswerIsReadAgain(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		r, s := &replica{ReadAPI: a.DynamoDB}, &sink{}
		f := a.follow(s, journal.Client(r))
		a.append("a")
		older := &dynamodb.GetItemOutput{Item: a.item(first)}
		a.append("b")
		poll(t, f, s)
		r.old = older
		assert.Empty(t, poll(t, f, s))
		assert.Equal(t, 3, r.reads, "one more read, strongly consistent")
		a.append("c")
		assert.Equal(t, []string{"c"}, poll(t, f, s))
		r.old = &dynamodb.GetItemOutput{}
		assert.Empty(t, poll(t, f, s))
		r.old = nil
		assert.Empty(t, poll(t, f, s), "the known state is kept")
		assert.Equal(t, 7, r.reads)
	})
}

// restore writes an older item of the journal, as a restored table has it.
func (a *account) restore(i item) {
	a.t.Helper()
	_, err := a.DynamoDB.PutItem(a.t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: i})
	require.NoError(a.t, err)
}

// A table is restored from a backup that has the first 80 of 100 changes.
func TestARestoredJournalInvalidatesEverything(t *testing.T) {
	for name, after := range map[string]struct {
		appended  int  // changes after the restore, before the next poll
		newWriter bool // the changes are appended by another process
	}{
		"no change yet":                        {0, true},
		"fewer than were lost":                 {19, true},
		"as many as were lost":                 {20, true},
		"more than were lost":                  {30, true},
		"more than were lost, the same writer": {30, false},
		"one, the same writer":                 {1, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, a *account) {
				s := &sink{}
				f := a.follow(s)
				a.append(keys(0, 80)...)
				backup := a.item(first)
				a.append(keys(80, 100)...)
				poll(t, f, s)
				a.restore(backup)
				if after.newWriter {
					a.writer = &journal.Writer{Client: a.DynamoDB, Table: table, Region: region}
				}
				for _, key := range keys(80, 80+after.appended) { // the same changes again, as a sync writes them
					a.append(key)
				}
				assert.Equal(t, []string{"*"}, poll(t, f, s))
				a.append("later")
				assert.Equal(t, []string{"later"}, poll(t, f, s))
			})
		})
	}
}

func TestAWriterThatFindsAnotherHistoryRenewsTheEpoch(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		backup := a.item(first)
		before, _, _ := a.read(first)
		a.append("b")
		a.restore(backup)
		a.append("c")
		epoch, seq, _ := a.read(first)
		assert.NotEqual(t, before, epoch, "a lower number")
		assert.Equal(t, 1, seq)

		backup, before = a.item(first), epoch
		a.append("d")
		a.restore(backup)
		other := &journal.Writer{Client: a.DynamoDB, Table: table, Region: region}
		require.NoError(t, other.Append(t.Context(), []change.Message{message("", "e", "f")}))
		epoch, _, _ = a.read(first)
		require.Equal(t, before, epoch, "the other writer cannot detect the restore")
		a.append("g")
		epoch, _, _ = a.read(first)
		assert.NotEqual(t, before, epoch, "another change has the sequence number of the writer's own")
	})
}

func TestSeveralWritersKeepTheEpoch(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		before, _, _ := a.read(first)
		other := &journal.Writer{Client: a.DynamoDB, Table: table, Region: region}
		for range 300 { // more than the journal holds
			require.NoError(t, other.Append(t.Context(), []change.Message{message("", "b")}))
		}
		a.append("c")
		require.NoError(t, other.Append(t.Context(), []change.Message{message("", "d")}))
		epoch, seq, _ := a.read(first)
		assert.Equal(t, before, epoch)
		assert.Equal(t, 303, seq)
	})
}

// While the journal is switched off, changes are published but not appended.
func TestAJournalThatWasOffInvalidatesEverything(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.writer.Copies = 3
		s := &sink{}
		f := a.follow(s, journal.Copies(3))
		a.append("a")
		require.NoError(t, a.writer.Append(t.Context(), []change.Message{message("other", "x")}))
		poll(t, f, s)
		off := &journal.Writer{Client: a.DynamoDB, Table: table, Region: region}
		for range 2 {
			published := []change.Message{message("", "b"), message("", "c")}
			require.NoError(t, off.AppendOrRemove(false)(t.Context(), published))
		}
		assert.Equal(t, 2, a.Calls("DeleteItem"))
		assert.NotNil(t, a.item("other:"+first))
		assert.Empty(t, poll(t, f, s))
		on := a.writer.AppendOrRemove(true)
		require.NoError(t, on(t.Context(), []change.Message{message("", "d")}))
		assert.Equal(t, []string{"*"}, poll(t, f, s))
	})
}

// An older release wrote rows without marks. Followers of both releases read the rows of both.
func TestARowWithoutMarks(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		poll(t, f, s)
		a.append("b")
		old := a.item(first)
		delete(old, "marks")
		a.restore(old)
		assert.Equal(t, []string{"b"}, poll(t, f, s))
		a.append("c")
		assert.Equal(t, []string{"*"}, poll(t, f, s), "the writer began a new epoch")
		a.append("d")
		assert.Equal(t, []string{"d"}, poll(t, f, s))
		time.Sleep(time.Second)
	})
}
