package flagsync_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/table"
)

// watching is a Watch that runs in a bubble.
type watching struct {
	*streamBench
	reports []flagsync.Result // read after synctest.Wait only
	stop    context.CancelFunc
	ended   chan error
}

func watch(t *testing.T, keys flagsync.Keys, answer func(n int, s sink), more ...flagsync.Option) *watching {
	w := &watching{streamBench: newStreamBench(t, answer), ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	syncer := flagsync.New(w.environment(""), keys, w.options(more...)...)
	go func() {
		w.ended <- syncer.Watch(ctx, func(r flagsync.Result) { w.reports = append(w.reports, r) })
	}()
	synctest.Wait()
	return w
}

// end stops the watch and requires that it returns no error.
func (w *watching) end(t *testing.T) {
	w.stop()
	require.NoError(t, <-w.ended)
}

func TestWatchWritesEachPatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, oneKey(sdkKey), func(_ int, s sink) { s.payload(many(500)...) })
		require.Len(t, w.reports, 1)
		assert.Len(t, w.reports[0].Added, 501)
		calls := func() [4]int {
			return [4]int{w.cloud.Calls("UpdateItem"), w.cloud.Calls("Query"), w.cloud.Calls("GetItem"),
				w.cloud.Calls("TransactWriteItems")}
		}
		before := calls()
		w.stream.now().patch("flag-007:2")
		synctest.Wait()
		assert.Equal(t, [4]int{before[0], before[1], before[2] + 1, before[3] + 1}, calls(),
			"a patch costs one read and one transaction")
		w.stream.now().remove("flag-008:2")
		synctest.Wait()
		w.stream.now().patch("flag-007:1") // late
		synctest.Wait()
		require.Len(t, w.reports, 3)
		assert.Equal(t, []string{"flag-007"}, keys(w.reports[1].Updated))
		assert.Equal(t, []table.Entry{{Kind: "features", Key: "flag-008", Version: 2, Was: 1, Deleted: true}},
			bare(w.reports[2].Updated))
		assert.Equal(t, int64(1), w.reports[2].Token)
		assert.Equal(t, 2, w.flags(t, "")["flag-007"])
		w.end(t)
		assert.Len(t, w.log.lines(t, "flags synced"), 3, "one line per change")
		assert.Equal(t, 1, w.stream.connections())
	})
}

// A flag that was deleted and created again has low versions. A late change looks the same, so the next payload
// decides.
func TestAFlagThatIsCreatedAgainIsWritten(t *testing.T) {
	for name, second := range map[string]string{"created again": "a:1", "a late change": "b:1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := watch(t, oneKey(sdkKey), func(n int, s sink) { s.payload([]string{"a:5", second}[n-1]) })
				w.stream.now().remove("a:6")
				synctest.Wait()
				w.stream.now().patch("a:1")
				synctest.Wait()
				assert.Equal(t, map[string]int{"a": -6}, w.flags(t, ""))
				time.Sleep(time.Second) // virtual
				synctest.Wait()
				assert.Equal(t, 2, w.stream.connections())
				assert.Equal(t, map[string]int{second[:1]: 1}, w.flags(t, ""))
				w.end(t)
				assert.Empty(t, w.log.loud(t))
			})
		})
	}
}

// After a reconnect, the next payload is written as a whole: it was requested after the fencing token was taken.
func TestWatchWritesTheNextPayloadWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, oneKey(sdkKey), func(_ int, s sink) { s.payload("a:1", "gone:1") })
		w.stream.now().payload("a:2")
		synctest.Wait()
		require.Len(t, w.reports, 2)
		assert.Equal(t, []string{"gone"}, keys(w.reports[1].Removed))
		assert.Equal(t, map[string]int{"a": 2}, w.flags(t, ""))
		w.end(t)
	})
}

func TestWatchStartsAgainWhenItLosesItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, oneKey(sdkKey), func(n int, s sink) { s.payload([][]string{{"a:1"}, {"a:3", "b:1"}}[n-1]...) })
		_, err := w.environment("").TakeToken(t.Context())
		require.NoError(t, err)
		w.stream.now().patch("a:2")
		synctest.Wait()
		assert.Equal(t, map[string]int{"a": 1}, w.flags(t, ""), "nothing is written with an old token")
		assert.Len(t, w.log.lines(t, "flags not synced"), 1)
		time.Sleep(time.Second) // virtual
		synctest.Wait()
		assert.Equal(t, map[string]int{"a": 3, "b": 1}, w.flags(t, ""))
		require.Len(t, w.reports, 2)
		assert.Equal(t, int64(3), w.reports[1].Token)
		w.end(t)
	})
}

func TestAGuardThatHoldsAWatchIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var right atomic.Bool
		w := watch(t, oneKey(sdkKey), func(n int, s sink) {
			if n == 1 || right.Load() {
				s.payload(many(30)...)
			} else {
				s.payload()
			}
		})
		w.stream.now().payload()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		held := w.log.lines(t, "flags not synced")
		assert.InDelta(t, 21, len(held), 7, "the pauses grow to between half a minute and a minute")
		assert.EqualValues(t, 1, held[len(held)-1]["GuardEmpty"])
		assert.Len(t, w.flags(t, ""), 30)
		right.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		w.stream.now().patch("flag-001:2")
		synctest.Wait()
		assert.Len(t, w.reports, 3)
		w.end(t)
	})
}

func TestWatchSurvivesOutagesAfterItsFirstPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var version atomic.Int32
		version.Store(1)
		w := watch(t, oneKey(sdkKey), func(n int, s sink) { s.payload(fmt.Sprintf("a:%d", version.Load())) })
		w.cloud.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "UpdateItem" || operation == "GetItem" {
				return errors.New("access denied")
			}
			return nil
		})
		w.stream.now().patch("a:2")
		time.Sleep(time.Hour)
		synctest.Wait()
		w.cloud.Intercept(nil)
		version.Store(2)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, map[string]int{"a": 2}, w.flags(t, ""))
		w.end(t)
	})
}

func TestWatchReturnsFailuresBeforeItsFirstPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, oneKey(sdkKey), func(int, sink) {})
		require.ErrorContains(t, <-w.ended, "connected, but received no flags within 10s")
		w = watch(t, oneKey(sdkKey), func(_ int, s sink) { s.Fail(errors.New("connection refused")) })
		require.ErrorContains(t, <-w.ended, "no answer from LaunchDarkly within 10s")
		w = watch(t, oneKey(sdkKey), func(n int, s sink) { s.Refuse(http.StatusNotFound) })
		require.ErrorContains(t, <-w.ended, "HTTP status 404")
		w = watch(t, oneKey(sdkKey), func(int, sink) {})
		w.end(t) // stopping it before the first payload is not a failure
		w = watch(t, oneKey(sdkKey), func(_ int, s sink) { s.payload("a:1") }, flagsync.Force())
		require.ErrorContains(t, <-w.ended, "a watch has neither")
	})
}

func TestWatchTakesARotatedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		current, next := "sdk-1", []string{"sdk-2", "sdk-3", "", "sdk-4", "sdk-4"} // "": the parameter cannot be read
		keys := func(_ context.Context, refresh bool) (map[string]string, error) {
			if refresh {
				read := next[0]
				if next = next[1:]; read == "" {
					return nil, errors.New("throttled")
				}
				current = read
			}
			return map[string]string{"": current}, nil
		}
		w := watch(t, keys, func(n int, s sink) { s.payload("a:1") })
		refuse := func() {
			w.stream.now().refuse()
			time.Sleep(time.Second) // the watch reconnects within a second
			synctest.Wait()
		}
		refuse()
		assert.Equal(t, 2, w.stream.connections())
		w.stream.now().patch("a:2")
		synctest.Wait()
		assert.Equal(t, map[string]int{"a": 2}, w.flags(t, ""))
		refuse() // the key was rotated a second time
		assert.Equal(t, 3, w.stream.connections())
		refuse() // the key was rotated a third time, and the parameter cannot be read
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, "sdk-4", current, "the next session reads the key again")
		w.stream.now().refuse() // the parameter still has the refused key
		require.ErrorIs(t, <-w.ended, flagsync.ErrUnauthorized)
		assert.Empty(t, next)
	})
}

// After a broken connection, Watch reconnects. This test uses a real connection and LaunchDarkly's test server.
func TestWatchConnectsAgain(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:1")
	ctx, stop := context.WithCancel(t.Context())
	reports, ended := make(chan flagsync.Result), make(chan error, 1)
	syncer := flagsync.New(b.environment(""), oneKey(sdkKey), b.options()...)
	go func() {
		ended <- syncer.Watch(ctx, func(r flagsync.Result) { reports <- r })
	}()
	assert.Equal(t, []string{"a", "everyone"}, keys((<-reports).Added))
	b.ld.patch(sdkKey, "a:2", false)
	patched := <-reports
	assert.Equal(t, []string{"a"}, keys(patched.Updated))
	assert.False(t, patched.Whole)
	b.ld.set(sdkKey, "a:3", "b:1")
	b.ld.CloseClientConnections()
	r := <-reports
	assert.Equal(t, []string{"b"}, keys(r.Added))
	assert.Equal(t, []string{"a"}, keys(r.Updated))
	assert.Equal(t, int64(1), r.Token)
	b.ld.CloseClientConnections()
	r = <-reports
	assert.True(t, r.Whole, "a connection whose payload changes nothing is reported too")
	assert.False(t, r.Changed())
	stop()
	require.NoError(t, <-ended)
	assert.Equal(t, map[string]int{"a": 3, "b": 1}, b.flags(t, ""))
	assert.Empty(t, b.log.lines(t, "flags not synced"))
}
