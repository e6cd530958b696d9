package v4store_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// fill writes n flags with a version to the table, and returns them.
func (s *system) fill(n, version int) map[string]int {
	want := map[string]int{}
	for i := range n {
		want[fmt.Sprint("flag", i)] = version
		s.put(fmt.Sprint("flag", i), version)
	}
	return want
}

// waited returns how long f takes in the bubble's time.
func waited(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func TestAllIsFreshAfterManyInvalidations(t *testing.T) {
	t.Run("while an older Get is in progress", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t)
			s.fill(30, 1)
			s.versions()
			s.invalidate("flag3", 0)
			get := s.hold("flag3")
			early := async(func() int { return s.version("flag3") })
			synctest.Wait() // its read has seen version 1
			want := s.fill(30, 2)
			for key := range want {
				s.invalidate(key, 2)
			}
			query := s.hold(whole)
			all := async(s.versions)
			synctest.Wait()
			get()
			assert.Equal(t, 1, <-early)
			synctest.Wait()
			query()
			assert.Equal(t, want, <-all)
		})
	})
	t.Run("with one more during the Query", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t)
			want := s.fill(30, 1)
			s.versions()
			for key := range s.fill(30, 2) {
				s.invalidate(key, 2)
			}
			query := s.hold(whole)
			all := async(s.versions)
			synctest.Wait() // the Query has seen version 2
			s.put("flag3", 3)
			s.invalidate("flag3", 3)
			single := s.hold("flag3")
			late := async(func() int { return s.version("flag3") })
			synctest.Wait()
			query()
			synctest.Wait()
			single()
			for key := range want {
				want[key] = 2
			}
			got := <-all
			assert.Contains(t, []int{2, 3}, got["flag3"])
			delete(got, "flag3")
			delete(want, "flag3")
			assert.Equal(t, want, got)
			assert.Equal(t, 3, <-late)
		})
	})
}

func TestInvalidateAllCostsOneReadOfACachedKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.fill(500, 1)
		s.versions()
		want := s.fill(500, 2)
		s.InvalidateAll()
		query := s.hold(whole)
		var waiting []chan int
		for key := range want {
			waiting = append(waiting, async(func() int { return s.version(key) }))
		}
		synctest.Wait()
		query()
		for _, w := range waiting {
			assert.Equal(t, 2, <-w)
		}
		assert.Equal(t, 2, s.Stats().Reads, "two reads of the kind, and none of a key")
		assert.Equal(t, 2, s.readsOf(whole))
	})
}

// An All finds many stale items while an older read of the kind is in progress. It waits for one more read of the kind,
// and reads no item on its own.
func TestAllDoesNotJoinAReadThatIsOlderThanManyStaleItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.fill(500, 1)
		s.versions()
		s.InvalidateAll()
		query := s.hold(whole)
		older := async(s.versions)
		synctest.Wait() // its read has seen version 1
		want := s.fill(500, 2)
		for key := range want {
			s.invalidate(key, 2)
		}
		all := async(s.versions)
		synctest.Wait()
		query()
		<-older
		assert.Equal(t, want, <-all)
		assert.Equal(t, 3, s.readsOf(whole))
		assert.Zero(t, s.readsOf("flag3"))
	})
}

func TestAnEmptiedTableIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.Logger(slog.New(slog.DiscardHandler)))
		flags := s.fill(3, 1)
		s.marker = true
		assert.Equal(t, flags, s.versions())
		synctest.Wait()
		assert.Equal(t, 1, s.readsOf(marker), "once, after the first item")
		s.put("flag0", 0)
		s.invalidate("flag0", 0)
		assert.Zero(t, s.version("flag0"), "removed: the marker exists")
		assert.Equal(t, 2, s.readsOf(marker))
		s.put("flag0", 1)
		s.invalidate("flag0", 0)
		assert.Equal(t, flags, s.versions())

		s.fill(3, 0)
		s.marker = false
		s.InvalidateAll()
		for range 3 {
			assert.Equal(t, flags, s.versions())
			assert.Equal(t, 1, s.version("flag1"))
			time.Sleep(time.Minute)
		}
		s.put("flag1", 2)
		s.InvalidateAll()
		time.Sleep(5 * time.Second)
		s.version("flag1") // starts a probe
		synctest.Wait()
		assert.Equal(t, map[string]int{"flag0": 1, "flag1": 2, "flag2": 1}, s.versions(),
			"a row that was read is served")

		s.marker = true
		s.InvalidateAll()
		time.Sleep(5 * time.Second)
		s.versions() // starts a probe
		synctest.Wait()
		assert.Equal(t, map[string]int{"flag1": 2}, s.versions(), "the marker exists again: absence is accepted")
	})
}

func TestAbsenceIsAcceptedIfNoMarkerWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		s.version("flag")
		s.put("flag", 0)
		s.invalidate("flag", 0)
		assert.Zero(t, s.version("flag"))
		assert.Equal(t, 1, s.readsOf(marker))
	})
}

func TestAfterCloseGetReturnsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newSystem(t, v4store.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		s.put("flag", 1)
		s.version("flag")
		s.failOnly("other", errTable)
		release := s.hold("other")
		waiting := async(func() error { _, err := s.Cache.Get(ld.Features, "other"); return err })
		synctest.Wait()
		assert.Zero(t, waited(func() { require.NoError(t, s.Close()) }), "it does not wait for the read")
		require.ErrorContains(t, <-waiting, "the cache is closed")
		_, err := s.Cache.Get(ld.Features, "flag")
		require.ErrorContains(t, err, "the cache is closed")
		_, err = s.Cache.All(ld.Features)
		require.ErrorContains(t, err, "the cache is closed")
		require.ErrorContains(t, s.Cache.Init(nil), "the cache is closed")
		require.ErrorContains(t, s.Cache.Upsert(ld.Features, &ld.Flag{Key: "flag", Version: 2}), "the cache is closed")
		require.ErrorContains(t, s.Cache.Delete(ld.Features, "flag", 2), "the cache is closed")
		assert.Equal(t, map[string]int{"flag": 1}, s.flags, "nothing was written")
		release()
		synctest.Wait()
		assert.Empty(t, log.String(), "a read that ends later is not an outage")
		s.Wake()
		s.InvalidateAll()
		require.NoError(t, s.Close(), "closed twice")
	})
}

// A logger can evaluate a flag. So it must not be called with a lock held, nor by the read that the evaluation waits
// for.
func TestALoggerCanEvaluateAFlag(t *testing.T) {
	for line, provoke := range map[string]func(s *system){
		"removed unknown keys": func(s *system) {
			for i := range 3 {
				s.version(fmt.Sprint("unknown", i))
			}
		},
		"rows cannot be decoded": func(s *system) {
			s.broken["flag"] = true
			s.versions()
		},
		"reads of the table fail": func(s *system) {
			s.fail(errTable)
			s.InvalidateAll()
			s.version("flag")
		},
		"store panicked": func(s *system) {
			s.panics = true
			s.Cache.Initialized()
		},
	} {
		t.Run(line, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger := &evaluating{}
				s := newSystem(t, v4store.MaxUnknown(2), v4store.Logger(slog.New(logger)))
				logger.evaluate = func() {
					_, _ = s.Cache.Get(ld.Features, "flag")
					_, _ = s.Cache.All(ld.Features)
					s.Cache.Initialized()
				}
				s.put("flag", 1)
				s.version("flag")
				synctest.Wait()
				assert.Zero(t, waited(func() {
					provoke(s)
					synctest.Wait()
				}))
				assert.Contains(t, logger.line, line)
			})
		})
	}
}

// evaluating is a log handler that evaluates flags.
type evaluating struct {
	slog.Handler
	evaluate func()
	line     string // the first line
}

func (e *evaluating) Enabled(_ context.Context, _ slog.Level) bool { return true }

func (e *evaluating) Handle(_ context.Context, record slog.Record) error {
	if e.line == "" { // ignores lines that the evaluation logs
		e.line = record.Message
		e.evaluate()
	}
	return nil
}

// A message with a version that the table does not have costs one read, because the table may have been reset.
func TestTheVersionInAMessageIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		s.version("flag")
		for _, ch := range []change.Change{
			{Kind: "features", Key: "flag", Version: 99}, {Kind: "features", Key: "flag", Version: 98, Deleted: true},
		} {
			s.Invalidate(ch)
			reads := s.readsOf("flag")
			for range 60 {
				assert.Equal(t, 1, s.version("flag"))
				s.pass(time.Second)
			}
			assert.Equal(t, 1, s.readsOf("flag")-reads)
		}
	})
}
