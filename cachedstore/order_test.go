package cachedstore_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

// LaunchDarkly's own wrapper has this race: a read that saw version 1 ends after version 2 was invalidated.
func TestALateReadNeverReplacesANewerValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		release := s.hold("flag")
		early := async(func() int { return s.version("flag") })
		synctest.Wait() // the early read has seen version 1

		s.put("flag", 2)
		s.invalidate("flag", 2)
		late := async(func() int { return s.version("flag") })
		synctest.Wait()
		assert.Equal(t, 1, s.readsOf("flag"), "the late Get waits for the discarded read to end")

		release()
		assert.Equal(t, 1, <-early, "calls that had joined the discarded read return its value")
		assert.Equal(t, 2, <-late)
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, 2, s.readsOf("flag"))
	})
}

func TestAGetWaitsForTwoReadsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		release := s.hold("flag")
		_ = async(func() int { return s.version("flag") })
		synctest.Wait()
		s.invalidate("flag", 0)
		late := async(func() int { return s.version("flag") })
		synctest.Wait()

		releaseSecond := s.hold("flag")
		release() // the late Get's own read starts
		synctest.Wait()
		for version := 2; version < 10; version++ {
			s.put("flag", version)
			s.invalidate("flag", version)
		}
		releaseSecond()
		assert.Equal(t, 1, <-late, "its read was discarded, but its value is returned")
		assert.Equal(t, 9, s.version("flag"))
		assert.Equal(t, 3, s.readsOf("flag"))
	})
}

func TestADiscardedReadIsTheLastKnownValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		release := s.hold("flag")
		early := async(func() int { return s.version("flag") })
		synctest.Wait()
		s.put("flag", 2)
		s.invalidate("flag", 2)
		release()
		require.Equal(t, 1, <-early)

		s.fail(errTable)
		assert.Equal(t, 1, s.version("flag"), "the read after it failed")
	})
}

func TestOneReadForAnyNumberOfMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 7)
		s.put("other", 1)
		release := s.hold("flag")
		var waiting []chan int
		for range 100 {
			waiting = append(waiting, async(func() int { return s.version("flag") }))
		}
		synctest.Wait()
		assert.Equal(t, 1, s.version("other"), "a slow read delays no other key")
		release()
		for _, w := range waiting {
			assert.Equal(t, 7, <-w)
		}
		assert.Equal(t, 1, s.readsOf("flag"))
	})
}

func TestInvalidateDuringACollectionsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		release := s.hold(all)
		whole := async(s.versions) // sees no flag
		synctest.Wait()
		s.put("new", 1)
		s.invalidate("new", 1)
		release()
		<-whole
		assert.Equal(t, 1, s.version("new"), "the older read of the collection does not apply")
		assert.Equal(t, map[string]int{"new": 1}, s.versions())
	})
}

func TestInvalidateAllDiscardsReadsInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.put("cached", 1)
		require.Equal(t, 1, s.version("cached"))
		release, releaseAll := s.hold("flag"), s.hold(all)
		item := async(func() int { return s.version("flag") })
		synctest.Wait()
		whole := async(s.versions)
		synctest.Wait()
		s.put("flag", 2)
		s.put("cached", 2)
		s.store.InvalidateAll()
		release()
		assert.Equal(t, 1, <-item)
		releaseAll()
		assert.Equal(t, map[string]int{"flag": 2, "cached": 2}, <-whole,
			"flag has the value of its own read, which is discarded")
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, 2, s.version("cached"))
		assert.Equal(t, map[string]int{"flag": 2, "cached": 2}, s.versions())
	})
}

func TestVersionsInMessagesAreIgnored(t *testing.T) {
	steps := []struct {
		name             string
		change           func(s *system)
		announced, after int
	}{
		{"a newer version", func(s *system) { s.put("flag", 6) }, 6, 6},
		{"a reset to older data", func(s *system) { s.put("flag", 3) }, 0, 3},
		{"a message with the version that is cached", func(s *system) { s.put("flag", 4) }, 3, 4},
		{"a message older than the table", func(s *system) { s.put("flag", 9) }, 5, 9},
		{"a removal", func(s *system) { s.remove("flag") }, 0, -1},
		{"re-created with an old version", func(s *system) { s.put("flag", 9) }, 9, 9},
		{"a tombstone", func(s *system) { s.raw("flag", 10, `{"key":"flag","version":10,"deleted":true}`) }, 10, 10},
	}
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("collection cached %v", whole), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t))
				s.put("flag", 5)
				for _, step := range steps {
					if whole {
						s.versions()
					}
					s.version("flag")
					step.change(s)
					s.invalidate("flag", step.announced)
					assert.Equal(t, step.after, s.version("flag"), step.name)
					before := s.readsOf("flag")
					s.version("flag")
					assert.Equal(t, before, s.readsOf("flag"), "%s: cached", step.name)
				}
			})
		})
	}
}

func TestAChangedFlagCostsOneItemEvenForAllFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		want := map[string]int{}
		for i := range 500 {
			key := fmt.Sprint("flag", i)
			s.put(key, 1)
			want[key] = 1
		}
		require.Equal(t, want, s.versions())
		steps := []struct {
			name, key string
			change    func(key string)
		}{
			{"changed", "flag7", func(key string) { s.put(key, 2); want[key] = 2 }},
			{"new", "flag500", func(key string) { s.put(key, 1); want[key] = 1 }},
			{"removed", "flag9", func(key string) { s.remove(key); delete(want, key) }},
		}
		for _, step := range steps {
			step.change(step.key)
			s.invalidate(step.key, 0)
			assert.Equal(t, want, s.versions(), step.name)
			assert.Equal(t, want, s.versions(), step.name)
			assert.Equal(t, 1, s.readsOf(step.key), step.name)
		}
		assert.Equal(t, 1, s.readsOf(all))
		assert.Equal(t, 4, s.store.Stats().Reads)
	})
}

func TestManyChangedFlagsCostOneQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		want := map[string]int{}
		for i := range 100 {
			s.put(fmt.Sprint("flag", i), 1)
		}
		s.versions()
		for i := range 100 {
			key := fmt.Sprint("flag", i)
			s.put(key, 2)
			want[key] = 2
			s.invalidate(key, 2)
		}
		assert.Equal(t, want, s.versions())
		assert.Equal(t, 2, s.store.Stats().Reads)
	})
}

// An item that is read again and has not changed is not decoded again: the pointer is the same.
func TestEqualItemsAreNotDecodedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("same", 1)
		s.put("changed", 1)
		pointers := func() (same, changed any) {
			items, err := s.client.GetAll(features)
			require.NoError(t, err)
			found := map[string]any{}
			for _, item := range items {
				found[item.Key] = item.Item.Item
			}
			return found["same"], found["changed"]
		}
		same, changed := pointers()
		s.put("changed", 2)
		s.store.InvalidateAll()
		sameAgain, changedAgain := pointers()
		assert.Same(t, same, sameAgain)
		assert.NotSame(t, changed, changedAgain)
		s.invalidate("same", 0)
		item, err := s.client.Get(features, "same")
		require.NoError(t, err)
		assert.Same(t, same, item.Item)
		assert.Equal(t, 2, s.readsOf(all))
	})
}

func TestTTLZeroDisablesTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(0))
		for version := 1; version < 4; version++ {
			s.put("flag", version)
			assert.Equal(t, version, s.version("flag"))
			s.put("flag", 10*version)
			assert.Equal(t, map[string]int{"flag": 10 * version}, s.versions())
		}
		assert.Equal(t, 3, s.readsOf("flag"))
		assert.Equal(t, 3, s.readsOf(all))

		s.put("flag", 50)
		release := s.hold("flag")
		early := async(func() int { return s.version("flag") })
		synctest.Wait()
		s.put("flag", 51)
		late := async(func() int { return s.version("flag") })
		release()
		assert.Equal(t, 50, <-early)
		assert.Equal(t, 51, <-late, "it does not join a read that started before it")
	})
}

func TestTheNumberOfUnknownFlagsInMemoryIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.version("flag")
		assert.Equal(t, -1, s.version("no"))
		assert.Equal(t, -1, s.version("no"))
		assert.Equal(t, 1, s.readsOf("no"))

		s.put("no", 1)
		s.invalidate("no", 1)
		assert.Equal(t, 1, s.version("no"))
		for i := range cachedstore.MaxUnknown {
			s.version(fmt.Sprint("unknown", i))
		}
		assert.Greater(t, s.store.Stats().Forgotten, cachedstore.MaxUnknown/2)
		s.version("flag")
		s.version("no")
		assert.Equal(t, 1, s.readsOf("flag"), "flags that exist stay in memory")
		assert.Equal(t, 2, s.readsOf("no"))

		s.versions()
		reads := s.store.Stats().Reads
		assert.Equal(t, -1, s.version("another"))
		assert.Equal(t, reads, s.store.Stats().Reads, "the collection does not have it")
		misses := s.store.Stats().Misses
		assert.Equal(t, -1, s.version("another"))
		assert.Equal(t, misses, s.store.Stats().Misses, "a hit")
		s.put("another", 1)
		s.pass(time.Hour)
		assert.Equal(t, 1, s.version("another"), "only while the collection is fresh")
	})
}

// A key that was read after its collection is kept in memory. Otherwise the older result of the collection would apply
// again.
func TestAKeyThatWasReadAfterItsCollectionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(90*time.Second), cachedstore.MaxStale(90*time.Second))
		s.put("flag", 1)
		s.versions()
		s.pass(time.Minute)
		s.remove("flag")
		s.invalidate("flag", 0)
		require.Equal(t, -1, s.version("flag"))
		for i := range cachedstore.MaxUnknown + 1 {
			require.Equal(t, -1, s.version(fmt.Sprint("unknown", i)))
		}
		s.pass(time.Minute)
		s.fail(errors.New("planted"))
		s.store.InvalidateAll()
		item, err := s.client.Get(features, "flag")
		require.NoError(t, err, "its own read is only a minute old")
		assert.Equal(t, -1, item.Version)
	})
}
