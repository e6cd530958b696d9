package cachedstore_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/cachedstore"
)

// Two overlapping reads of one row cannot be ordered: the one that ends second may have an older value than the first
// returned. So a read of the collection does not count for an item that was being read when it started, and no item is
// read on its own while a read of its collection is in progress.
func TestOverlappingReadsOfAnItemAndItsCollection(t *testing.T) {
	t.Run("an item that was being read keeps the value of its own read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t, newTable(t))
			s.put("flag", 1)
			release := s.hold("flag")
			item := async(func() int { return s.version("flag") }) // sees version 1
			synctest.Wait()
			s.put("flag", 2) // its message has not arrived yet
			s.put("other", 1)
			whole := async(s.versions) // sees version 2
			synctest.Wait()
			assert.Equal(t, 1, s.version("other"))
			release()
			assert.Equal(t, 1, <-item)
			assert.Equal(t, map[string]int{"flag": 1, "other": 1}, <-whole)
			assert.Equal(t, 1, s.version("flag"))
			assert.Equal(t, 2, s.store.Stats().Reads)
		})
	})
	t.Run("its own read failed, and there is no last known value", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t, newTable(t))
			s.put("flag", 1)
			s.failOnly("flag", errTable)
			release := s.hold("flag")
			item := async(func() error { _, err := s.client.Get(features, "flag"); return err })
			synctest.Wait()
			whole := async(func() error { _, err := s.client.GetAll(features); return err })
			synctest.Wait()
			release()
			assert.ErrorIs(t, <-item, errTable)
			assert.ErrorIs(t, <-whole, errTable, "a result without the flag would mean that it was deleted")
		})
	})
	t.Run("an item's read waits for the collection's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t, newTable(t))
			s.put("flag", 1)
			s.put("other", 1)
			release := s.hold(all)
			whole := async(s.versions) // sees version 1
			synctest.Wait()
			joined := async(func() int { return s.version("other") })
			s.put("flag", 2)
			s.invalidate("flag", 2)
			releaseItem := s.hold("flag")
			item := async(func() int { return s.version("flag") })
			synctest.Wait()
			assert.Zero(t, s.readsOf("flag"), "it has not started")
			release()
			assert.Equal(t, 1, <-joined)
			assert.Equal(t, map[string]int{"flag": 1, "other": 1}, <-whole)
			releaseItem()
			assert.Equal(t, 2, <-item)
			assert.Zero(t, s.readsOf("other"))
			assert.Equal(t, map[string]int{"flag": 2, "other": 1}, s.versions())
			assert.Equal(t, 2, s.store.Stats().Reads)
		})
	})
	t.Run("the next read of the collection replaces reads that waited for the first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t, newTable(t))
			s.put("flag", 1)
			release := s.hold(all)
			first := async(s.versions) // sees version 1
			synctest.Wait()
			s.put("flag", 2)
			s.invalidate("flag", 2)
			item := async(func() int { return s.version("flag") })
			synctest.Wait()
			s.store.InvalidateAll()
			second := async(s.versions)
			synctest.Wait()
			releaseSecond := s.hold(all)
			release()
			assert.Equal(t, map[string]int{"flag": 1}, <-first)
			releaseSecond()
			assert.Equal(t, 2, <-item)
			assert.Equal(t, map[string]int{"flag": 2}, <-second)
			assert.Zero(t, s.readsOf("flag"))
			assert.Equal(t, 2, s.readsOf(all))
		})
	})
}

// 30 flags are invalidated while one of them is being read. That is more than GetAll reads one by one.
func TestGetAllAfterManyInvalidationsIsFresh(t *testing.T) {
	fill := func(s *system, version int) (want map[string]int) {
		want = map[string]int{}
		for i := range 30 {
			key := fmt.Sprint("flag", i)
			s.put(key, version)
			want[key] = version
		}
		return want
	}
	invalidate := func(s *system) {
		for i := range 30 {
			s.invalidate(fmt.Sprint("flag", i), 2)
		}
	}
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("the old Get ends during the Query, cached %v", whole), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t))
				fill(s, 1)
				if whole {
					s.versions()
					s.invalidate("flag7", 0)
				}
				releaseItem := s.hold("flag7")
				early := async(func() int { return s.version("flag7") }) // sees version 1
				synctest.Wait()
				want := fill(s, 2)
				invalidate(s)
				releaseAll := s.hold(all)
				late := async(s.versions)
				synctest.Wait()
				releaseItem()
				assert.Equal(t, 1, <-early)
				synctest.Wait()
				releaseAll()
				assert.Equal(t, want, <-late)
				assert.Equal(t, want, s.versions())
			})
		})
	}
	t.Run("a key is invalidated again during the Query", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t, newTable(t))
			fill(s, 1)
			s.versions()
			want := fill(s, 2)
			invalidate(s)
			releaseAll := s.hold(all)
			whole := async(s.versions) // sees version 2
			synctest.Wait()
			s.put("flag7", 3)
			s.invalidate("flag7", 3)
			item := async(func() int { return s.version("flag7") })
			synctest.Wait()
			releaseItem := s.hold("flag7")
			releaseAll()
			synctest.Wait()
			releaseItem()
			assert.Equal(t, 3, <-item)
			got := <-whole
			assert.Contains(t, []int{2, 3}, got["flag7"], "never version 1")
			want["flag7"] = got["flag7"]
			assert.Equal(t, want, got)
		})
	})
}

// An entry whose own read ended during a read of the collection is excluded from that read. Therefore it stays in
// memory.
func TestAnEntryExcludedFromAQueryInProgressIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.Sizes(25, 1))
		release := s.hold("unknown")
		own := async(func() int { return s.version("unknown") })
		synctest.Wait()
		releaseAll := s.hold(all)
		whole := async(s.versions)
		synctest.Wait()
		release()
		assert.Equal(t, -1, <-own)
		other := async(func() int { return s.version("other") }) // removes unknown keys from memory
		synctest.Wait()
		assert.Equal(t, 2, s.store.Stats().Entries)
		releaseAll()
		assert.Equal(t, -1, <-other)
		assert.Empty(t, <-whole)
		s.version("third")
		assert.Equal(t, 1, s.store.Stats().Entries, "now they are removed")
	})
}

// A discarded read of the collection does not replace values that another read made fresh.
func TestADiscardedReadReplacesNoHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.Sizes(1, 10))
		for _, key := range []string{"a", "b", "c"} {
			s.put(key, 1)
		}
		s.versions()
		s.invalidate("a", 0)
		s.invalidate("b", 0)
		release := s.hold(all)
		whole := async(s.versions)
		synctest.Wait()
		s.store.Wake()
		release()
		<-whole
		reads := s.store.Stats().Reads
		assert.Equal(t, 1, s.version("c"))
		assert.Equal(t, reads, s.store.Stats().Reads)
	})
}
