package journal_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

// look lets the interval pass, refreshes, and returns what the sink was told.
func look(t *testing.T, f *journal.Follower, s *sink) []string {
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
		assert.Equal(t, []string{"*"}, look(t, f, s), "the first look")
		assert.Empty(t, look(t, f, s), "nothing changed")
		a.append("c")
		a.append("d", "a")
		assert.Equal(t, []string{"c", "d", "a"}, look(t, f, s))
		assert.Empty(t, look(t, f, s))
		a.append("d")
		a.append("d")
		assert.Equal(t, []string{"d", "d"}, look(t, f, s), "a batch that was appended twice costs a read")

		require.NoError(t, a.writer.Renew(t.Context(), ""))
		a.append("e")
		assert.Equal(t, []string{"*"}, look(t, f, s), "another epoch")
		a.append("f")
		assert.Equal(t, []string{"f"}, look(t, f, s))

		a.append(keys(0, 1000)...)
		assert.Equal(t, []string{"*"}, look(t, f, s), "it fell behind")
		a.append("g")
		assert.Equal(t, []string{"g"}, look(t, f, s))
		assert.Equal(t, journal.Stats{Looks: 9, Changes: 7, InvalidateAll: 3}, f.Stats())
	})
}

func TestFellBehindByOneEntry(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		each := func(from, to int) {
			for _, key := range keys(from, to) {
				a.append(key) // under version 1 each, so that all take the same room
			}
		}
		each(100, 500)
		_, _, kept := a.read(first)
		for missed, want := range map[int]string{len(kept): "flag-500", len(kept) + 1: "*"} {
			s := &sink{}
			f := a.follow(s)
			look(t, f, s)
			each(500, 500+missed)
			assert.Equal(t, want, look(t, f, s)[0], "%d of %d", missed, len(kept))
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
func (e *exact) InvalidateAll()                      {}

// replica answers a GetItem with what the item was at another time.
type replica struct {
	journal.ReadAPI
	old *dynamodb.GetItemOutput
}

func (r *replica) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if r.old != nil {
		return r.old, nil
	}
	return r.ReadAPI.GetItem(ctx, in, o...)
}

func TestAnOldReplicasAnswerChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		r, s := &replica{ReadAPI: a.DynamoDB}, &sink{}
		f := a.follow(s, journal.Client(r))
		missing := &dynamodb.GetItemOutput{}
		a.append("a")
		older := &dynamodb.GetItemOutput{Item: a.item(first)}
		a.append("b")
		look(t, f, s)
		for _, old := range []*dynamodb.GetItemOutput{older, missing} {
			r.old = old
			assert.Empty(t, look(t, f, s))
			r.old = nil
			assert.Empty(t, look(t, f, s), "and what was known is known")
		}
		a.append("c")
		r.old = older
		assert.Empty(t, look(t, f, s))
		r.old = nil
		assert.Equal(t, []string{"c"}, look(t, f, s))
	})
}

func TestLooksAreEventuallyConsistentAndOfOneCopyForLife(t *testing.T) {
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
				look(t, f, s)
			}
			for _, name := range copies {
				assert.Equal(t, copies[0], name)
			}
			seen[copies[0]] = true
		}
		assert.Len(t, seen, 4)
	})
}

func TestAtMostOneReadAnInterval(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		const interval = 10 * time.Second
		f := a.follow(&sink{}, journal.Interval(interval))
		before := a.Calls("GetItem")
		const seconds = 10_000
		for range seconds * 10 {
			require.NoError(t, f.Refresh(t.Context()))
			time.Sleep(time.Second / 10)
		}
		reads := a.Calls("GetItem") - before
		assert.InDelta(t, seconds/(0.95*interval.Seconds()+0.05), reads, 15, "90 to 100 % of the interval")
		assert.Equal(t, reads, f.Stats().Looks)
	})
}

func TestATableWithoutAJournal(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		s := &sink{}
		f := a.follow(s)
		for range 20 {
			assert.Empty(t, look(t, f, s))
		}
		assert.Equal(t, 20, a.Calls("GetItem"))
		assert.Equal(t, 1, strings.Count(a.log.String(), "\n"), a.log)
		assert.Contains(t, a.log.String(), "there is no journal")
		a.append("a")
		assert.Equal(t, []string{"*"}, look(t, f, s), "when it begins, anything may have changed before")
	})
}

func TestAFailedReadIsReportedForTheInterval(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		look(t, f, s)
		reads := a.Calls("GetItem")
		a.Intercept(func(context.Context, string, any) error { return errDown })
		time.Sleep(time.Second)
		for range 5 {
			require.ErrorIs(t, f.Refresh(t.Context()), errDown)
		}
		time.Sleep(time.Second)
		require.ErrorIs(t, f.Refresh(t.Context()), errDown)
		assert.Equal(t, 2, a.Calls("GetItem")-reads)
		a.Intercept(nil)
		a.append("b")
		assert.Equal(t, []string{"b"}, look(t, f, s), "nothing was missed")
		assert.Equal(t, 2, strings.Count(a.log.String(), "\n"), "one line for each end of an outage: %s", a.log)
		assert.Equal(t, 2, f.Stats().Errors)
	})
}

// slow makes reads of the journal wait until release is called.
func slow(a *account) (release func()) {
	gate := make(chan struct{})
	a.Intercept(func(ctx context.Context, operation string, _ any) error {
		if operation == "GetItem" {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return func() { close(gate); a.Intercept(nil) }
}

func TestEntriesThatCannotBeReadAreAnError(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		r, s := &replica{ReadAPI: a.DynamoDB}, &sink{}
		f := a.follow(s, journal.Client(r))
		look(t, f, s)
		a.append("b")
		broken := a.item(first)
		broken["entries"] = str("[")
		r.old = &dynamodb.GetItemOutput{Item: broken}
		time.Sleep(time.Second)
		require.ErrorContains(t, f.Refresh(t.Context()), "entries")
		r.old = nil
		assert.Equal(t, []string{"b"}, look(t, f, s), "and nothing is missed")
	})
}

func TestCallsAtTheSameTimeShareARead(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		before := a.Calls("GetItem")
		release := slow(a)
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() { assert.NoError(t, f.Refresh(t.Context())) })
		}
		canceled, cancel := context.WithCancel(t.Context())
		calls.Go(func() { assert.ErrorIs(t, f.Refresh(canceled), context.Canceled) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		assert.Empty(t, s.take())
		release()
		calls.Wait()
		assert.Equal(t, []string{"*"}, s.take())
		assert.Equal(t, 1, a.Calls("GetItem")-before)
	})
}

func TestAReadThatNobodyWaitsForIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		release := slow(a)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, f.Refresh(ctx), context.DeadlineExceeded)
		err := f.Refresh(t.Context())
		require.ErrorContains(t, err, "was given up", "within the interval there is no other")
		release()
		synctest.Wait()
		assert.Empty(t, s.take())
		assert.Equal(t, 1, f.Stats().Abandoned)
		assert.Equal(t, []string{"*"}, look(t, f, s))
	})
}

func TestALookIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		f := a.follow(&sink{})
		defer slow(a)()
		start := time.Now()
		require.ErrorIs(t, f.Refresh(t.Context()), context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

// stubborn does not heed its context, and answers with what it was told to when it is let go.
type stubborn struct {
	answers chan *dynamodb.GetItemOutput
	calls   int
}

func (c *stubborn) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	c.calls++
	return <-c.answers, nil
}

func TestAReadFromBeforeAFreezeNeverCounts(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		var frozen time.Duration
		start := time.Now()
		hands := func() (mono, wall time.Duration) {
			passed := time.Since(start)
			return passed, passed + frozen
		}
		client, s := &stubborn{answers: make(chan *dynamodb.GetItemOutput)}, &sink{}
		f := a.follow(s, journal.Clock(hands), journal.Client(client))
		a.append("a")
		before := &dynamodb.GetItemOutput{Item: a.item(first)}
		old := make(chan error, 1)
		go func() { old <- f.Refresh(t.Context()) }() // begins a read, whose answer is on its way
		synctest.Wait()
		frozen = time.Hour
		a.append("b")

		fresh := make(chan error, 1)
		go func() { fresh <- f.Refresh(t.Context()) }()
		synctest.Wait()
		assert.Equal(t, 2, client.calls, "the read from before is not joined")
		require.ErrorContains(t, <-old, "given up")
		client.answers <- before
		synctest.Wait()
		assert.Empty(t, s.take())
		assert.Empty(t, fresh, "the old answer is not for it")
		client.answers <- &dynamodb.GetItemOutput{Item: a.item(first)}
		require.NoError(t, <-fresh)
		assert.Equal(t, []string{"*"}, s.take())
		assert.Equal(t, journal.Stats{Looks: 2, Abandoned: 1, InvalidateAll: 1}, f.Stats())
	})
}

func TestEitherHandOfTheClockEndsTheInterval(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		var mono, wall time.Duration
		f := a.follow(&sink{}, journal.Clock(func() (time.Duration, time.Duration) { return mono, wall }))
		reads := func() int {
			require.NoError(t, f.Refresh(t.Context()))
			return f.Stats().Looks
		}
		assert.Equal(t, 1, reads())
		assert.Equal(t, 1, reads())
		wall += time.Second // frozen
		assert.Equal(t, 2, reads())
		wall -= time.Hour // set back
		assert.Equal(t, 2, reads())
		mono += time.Second
		assert.Equal(t, 3, reads())
	})
}

func TestAFollowerReportsAllThatIsWrong(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	f := journal.Follow("", nil, journal.Interval(0), journal.Budget(-1), journal.FlushBudget(0), journal.Copies(101))
	for range 2 {
		err := f.Refresh(t.Context())
		for _, want := range []string{
			"table's name is empty", "sink: nil", "no AWS region", "Interval(0s)", "Budget(-1ns)", "FlushBudget(0s)", "Copies(101)",
		} {
			assert.ErrorContains(t, err, want)
		}
	}
}

func TestTheRegionIsTheClients(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-2")
	name := func(options ...journal.Option) string {
		f := journal.Follow(table, &sink{}, append(options, journal.Logger(slog.New(slog.DiscardHandler)))...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := f.Refresh(ctx)
		require.Error(t, err)
		return err.Error()
	}
	client := dynamodb.New(dynamodb.Options{Region: "ap-south-1"})
	assert.Contains(t, name(journal.Client(client)), "$journal/ap-south-1/0")
	assert.Contains(t, name(journal.Client(client), journal.Region(region)), first)
	assert.Contains(t, name(journal.Client(failing{}), journal.Prefix("p")), "p:$journal/us-east-2/0")
}

type failing struct{}

func (failing) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return nil, errors.New("fails")
}

// Without Client, the environment says where the table is.
func TestTheDefaultClientIsTheEnvironments(t *testing.T) {
	t.Setenv("AWS_REGION", region)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // nobody is there
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	err := journal.Follow(table, &sink{}, journal.Logger(slog.New(slog.DiscardHandler))).Refresh(t.Context())
	require.ErrorContains(t, err, "127.0.0.1:1")
}
