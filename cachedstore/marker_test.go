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
)

// wipe removes all rows and the marker, like an operator who re-creates a table.
func wipe(s *system) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	clear(s.rows["features"])
	s.inited = false
}

func (x *table) setMarker(there bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.inited = there
}

func TestATableThatLostItsMarkerIsAnOutage(t *testing.T) {
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("collection cached %v", whole), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t))
				s.put("flag", 1)
				s.put("other", 1)
				s.version("flag")
				if whole {
					s.versions()
				}
				synctest.Wait() // the cache has seen the marker
				wipe(s)
				s.put("other", 2)
				s.store.InvalidateAll()
				assert.Equal(t, 1, s.version("flag"))
				assert.False(t, (<-s.status).Available)
				if whole {
					assert.Equal(t, map[string]int{"flag": 1, "other": 2}, s.versions(), "a row that exists is served")
				}
				time.Sleep(time.Hour)
				assert.Equal(t, 1, s.version("flag"))
				assert.Contains(t, s.log.GetOutput(ldlog.Warn)[0], "marker")
				assert.Len(t, s.log.GetOutput(ldlog.Warn), 1)

				s.put("flag", 3)
				s.setMarker(true)
				assert.True(t, (<-s.status).Available)
				assert.Equal(t, 3, s.version("flag"))
			})
		})
	}
}

func TestAbsenceIsAcceptedWhileTheMarkerExists(t *testing.T) {
	for _, seen := range []bool{true, false} {
		t.Run(fmt.Sprint("marker ", seen), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTable(t)
				x.inited = seen // some writers never write a marker
				s := newSystem(t, x)
				s.put("flag", 1)
				s.version("flag")
				synctest.Wait()
				s.remove("flag")
				s.invalidate("flag", 0)
				before := s.markerReads()
				assert.Equal(t, -1, s.version("flag"))
				want := 0
				if seen {
					want = 1
				}
				assert.Equal(t, want, s.markerReads()-before)
				s.invalidate("flag", 0)
				assert.Equal(t, -1, s.version("flag"))
				assert.Equal(t, want, s.markerReads()-before, "only where a live item was known")
				assert.Empty(t, s.status)
			})
		})
	}
}

// A tombstone proves by itself that the item was deleted.
func TestATombstoneNeedsNoMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.version("flag")
		synctest.Wait()
		before := s.markerReads()
		s.raw("flag", 2, `{"key":"flag","version":2,"deleted":true}`)
		s.invalidate("flag", 2)
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, before, s.markerReads())
	})
}

// Any number of deleted flags cost one read of the marker at a time.
func TestReadsOfTheMarkerAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		keys := manyFlags(s, 100, 1)
		for _, key := range keys {
			s.version(key)
		}
		synctest.Wait()
		release := s.hold("marker")
		before := s.markerReads()
		for _, key := range keys {
			s.remove(key)
			s.invalidate(key, 0)
		}
		var got []chan int
		for _, key := range keys {
			got = append(got, async(func() int { return s.version(key) }))
		}
		synctest.Wait()
		release()
		for i := range keys {
			assert.Equal(t, -1, <-got[i])
		}
		assert.LessOrEqual(t, s.markerReads()-before, 2, "one in progress, and one that started after all calls")
	})
}

// If the marker cannot be read, the read of the flag fails.
func TestAMarkerThatHangsIsAFailedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.ReadLimit(time.Second))
		s.put("flag", 1)
		s.version("flag")
		synctest.Wait()
		s.remove("flag")
		s.invalidate("flag", 0)
		release := s.hold("marker")
		took := elapsed(func() { assert.Equal(t, 1, s.version("flag")) })
		require.Equal(t, time.Second, took)
		release()
		time.Sleep(time.Minute)
		assert.Equal(t, -1, s.version("flag"))
	})
}

// A writer may write the marker after this process has read its first flag.
func TestAMarkerThatIsWrittenLaterIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.setMarker(false)
		read := func(version int) {
			s.put("flag", version)
			s.invalidate("flag", version)
			assert.Equal(t, version, s.version("flag"))
			synctest.Wait()
		}
		read(1)
		s.setMarker(true)
		read(2)
		assert.Equal(t, 1, s.markerReads(), "once a minute")
		s.pass(time.Minute)
		read(3)
		assert.Equal(t, 2, s.markerReads())
		s.pass(time.Minute)
		read(4)
		assert.Equal(t, 2, s.markerReads(), "until it was seen")
		wipe(s)
		s.invalidate("flag", 0)
		assert.Equal(t, 4, s.version("flag"), "the last known value")
	})
}

// Reads of the marker are not reads of items.
func TestReadsOfTheMarkerAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		release := s.hold("marker")
		s.put("flag", 1)
		s.version("flag")
		synctest.Wait()
		s.store.Wake()
		release()
		synctest.Wait()
		assert.Equal(t, cachedstore.Stats{Misses: 1, Reads: 1, Entries: 1}, s.store.Stats())
	})
}
