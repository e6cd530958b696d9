package cachedstore_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/internal/outage"
)

func manyFlags(s *system, n, version int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint("flag", i))
		s.put(keys[i], version)
	}
	return keys
}

// 500 flags are throttled for a minute while the marker can be read. Every flag is evaluated ten times a second.
func TestAPartialFailureCausesFewReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		keys := manyFlags(s, 500, 1)
		for _, key := range keys {
			s.version(key)
			s.failOnly(key, errTable)
		}
		synctest.Wait()
		before := s.store.Stats()
		s.checks()
		s.store.InvalidateAll()
		minute := func() {
			for range 600 {
				for _, key := range keys {
					require.Equal(t, 1, s.version(key))
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		minute()
		assert.LessOrEqual(t, s.store.Stats().Errors-before.Errors, 3*len(keys),
			"one read per flag, and few further attempts")
		first := s.store.Stats().Errors
		minute()
		assert.LessOrEqual(t, s.store.Stats().Errors-first, 3*len(keys))
		assert.Len(t, s.log.GetOutput(ldlog.Warn), 1, "one line")
		assert.LessOrEqual(t, s.checks(), 40, "checks with growing pauses")
		assert.Empty(t, s.status, "not an outage")

		for _, key := range keys {
			s.put(key, 2)
			s.failOnly(key, nil)
		}
		time.Sleep(outage.LastCheck)
		for _, key := range keys {
			assert.Equal(t, 2, s.version(key), "the first success allows all others")
		}
	})
}

// A failure after a quiet time starts a new failing period, with its own line.
func TestEachFailingPeriodHasOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.failOnly("flag", errTable)
		for period := 1; period < 4; period++ {
			for range 20 {
				_, err := s.client.Get(features, "flag")
				require.Error(t, err)
				time.Sleep(time.Second)
			}
			assert.Len(t, s.log.GetOutput(ldlog.Warn), period)
			time.Sleep(outage.Steady + time.Second)
		}
		assert.Contains(t, s.log.GetOutput(ldlog.Warn)[0], "a check of the table succeeded")
	})
}

// A kind that was cached as a whole is read again by one Query, no matter which call comes first and why the kind is
// stale.
func TestAMissOnACachedKindJoinsOneQuery(t *testing.T) {
	for name, stale := range map[string]func(s *system){
		"InvalidateAll": func(s *system) { s.store.InvalidateAll() },
		"the TTL":       func(s *system) { s.pass(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTable(t)
				s := &system{t: t, table: x}
				keys := manyFlags(s, 500, 1)
				s = newSystem(t, x, cachedstore.Preload())
				manyFlags(s, 500, 2)
				stale(s)
				release := s.hold(all)
				var got []chan int
				for _, key := range append(keys, "unknown") {
					got = append(got, async(func() int { return s.version(key) }))
				}
				synctest.Wait()
				release()
				for i := range keys {
					assert.Equal(t, 2, <-got[i])
				}
				assert.Equal(t, -1, <-got[500])
				assert.Equal(t, map[string]int{all: 2, all + "segments": 1}, s.allReads())
			})
		})
	}
}

// A failed Query does not prevent reads of single flags.
func TestAfterAFailedQueryItemsAreReadOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.versions()
		s.put("flag", 2)
		s.failOnly(all, errTable)
		s.store.InvalidateAll()
		assert.Equal(t, 1, s.version("flag"), "its Query failed")
		synctest.Wait()
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, map[string]int{all: 2, "flag": 1}, s.allReads())
	})
}
