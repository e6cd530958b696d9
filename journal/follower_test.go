package journal_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

// poll lets the interval pass, refreshes, and returns the calls of the sink.
func poll(t *testing.T, f *journal.Follower, s *sink) []string {
	t.Helper()
	time.Sleep(time.Second) // virtual
	require.NoError(t, f.Refresh(t.Context()))
	return s.take()
}

func bubble(t *testing.T, test func(t *testing.T, a *account)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newAccount(t)) })
}

func TestExactlyWhatChangedIsInvalidated(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a", "b")
		s := &sink{}
		f := a.follow(s)
		assert.Equal(t, []string{"*"}, poll(t, f, s), "the first poll")
		assert.Empty(t, poll(t, f, s), "nothing changed")
		a.append("c")
		a.append("d", "a")
		assert.Equal(t, []string{"c", "d", "a"}, poll(t, f, s))
		assert.Empty(t, poll(t, f, s))
		a.append("d")
		a.append("d")
		assert.Equal(t, []string{"d", "d"}, poll(t, f, s), "a batch that was appended twice costs a read")

		require.NoError(t, a.writer.Renew(t.Context(), ""))
		a.append("e")
		assert.Equal(t, []string{"*"}, poll(t, f, s), "another epoch")
		a.append("f")
		assert.Equal(t, []string{"f"}, poll(t, f, s))

		a.append(keys(0, 1000)...)
		assert.Equal(t, []string{"*"}, poll(t, f, s), "more changes than the journal holds")
		a.append("g")
		assert.Equal(t, []string{"g"}, poll(t, f, s))
		assert.Equal(t, journal.Stats{Polls: 9, Changes: 7, InvalidateAll: 3}, counts(f))
	})
}

func TestAFollowerThatMissesOneEntryInvalidatesEverything(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		each := func(from, to int) {
			for _, key := range keys(from, to) {
				a.append(key) // each with version 1, so that all entries have the same size
			}
		}
		each(100, 500)
		_, _, kept := a.read(first)
		for missed, want := range map[int]string{len(kept): "flag-500", len(kept) + 1: "*"} {
			s := &sink{}
			f := a.follow(s)
			poll(t, f, s)
			each(500, 500+missed)
			assert.Equal(t, want, poll(t, f, s)[0], "%d of %d", missed, len(kept))
		}
	})
}

func TestChangesCarryWhatWasPublished(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		want := []change.Change{
			{Kind: change.KindFeatures, Key: "a", Version: 7},
			{Kind: change.KindSegments, Key: "ünï\n\"code\"", Deleted: true},
			{Kind: "other", Key: "a", Version: 1},
		}
		got := &exact{}
		f := a.follow(got)
		a.append("first")
		require.NoError(t, f.Refresh(t.Context()))
		require.NoError(t, a.writer.Append(t.Context(), []change.Message{{Changes: want[:2]}, {Changes: want[2:]}}))
		time.Sleep(time.Second)
		require.NoError(t, f.Refresh(t.Context()))
		assert.Equal(t, want, got.changes)
	})
}

type exact struct{ changes []change.Change }

func (e *exact) Invalidate(changes ...change.Change) { e.changes = append(e.changes, changes...) }

func (e *exact) InvalidateAll() {}

func TestPollsAreEventuallyConsistentAndReadOneCopy(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.writer.Copies = 4
		a.append("a")
		var copies []string
		a.Intercept(func(_ context.Context, _ string, in any) error {
			get := in.(*dynamodb.GetItemInput)
			assert.Nil(t, get.ConsistentRead)
			copies = append(copies, text(get.Key["namespace"]))
			return nil
		})
		seen := map[string]bool{}
		for range 50 {
			s := &sink{}
			f := a.follow(s, journal.Copies(4))
			copies = nil
			for range 5 {
				poll(t, f, s)
			}
			for _, name := range copies {
				assert.Equal(t, copies[0], name)
			}
			seen[copies[0]] = true
		}
		assert.Len(t, seen, 4)
	})
}

func TestATableWithoutAJournal(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		s := &sink{}
		f := a.follow(s)
		for range 20 {
			assert.Empty(t, poll(t, f, s))
		}
		assert.Equal(t, 20, a.Calls("GetItem"))
		assert.Equal(t, 1, strings.Count(a.logged(), "\n"), a.logged())
		assert.Contains(t, a.logged(), "journal not found")
		a.append("a")
		assert.Equal(t, []string{"*"}, poll(t, f, s), "anything may have changed before the journal began")
	})
}

func TestEntriesThatCannotBeReadAreAnError(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		r, s := &replica{ReadAPI: a.DynamoDB}, &sink{}
		f := a.follow(s, journal.Client(r))
		poll(t, f, s)
		a.append("b")
		broken := a.item(first)
		broken["entries"] = str("[")
		r.old = &dynamodb.GetItemOutput{Item: broken}
		time.Sleep(time.Second)
		require.ErrorContains(t, f.Refresh(t.Context()), "entries")
		r.old = nil
		assert.Equal(t, []string{"b"}, poll(t, f, s), "nothing is missed")
	})
}
