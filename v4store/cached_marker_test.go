package v4store_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/v4store"
)

func (m *memory) setMarker(present bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marker = present
}

// A read of the marker that started before the table was emptied does not confirm that a flag was removed.
func TestAnOlderReadOfTheMarkerConfirmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.Logger(slog.New(slog.DiscardHandler)))
		s.fill(2, 1)
		s.setMarker(true)
		s.version("flag0")
		s.version("flag1")
		synctest.Wait()
		s.put("flag0", 0)
		s.invalidate("flag0", 0)
		release := s.hold(marker)
		removed := async(func() int { return s.version("flag0") })
		synctest.Wait() // its read of the marker has seen the marker
		s.put("flag1", 0)
		s.setMarker(false)
		s.invalidate("flag1", 0)
		lost := async(func() int { return s.version("flag1") })
		synctest.Wait()
		before := s.readsOf(marker)
		release()
		assert.Zero(t, <-removed)
		assert.Equal(t, 1, <-lost, "the last known value")
		synctest.Wait()
		assert.LessOrEqual(t, s.readsOf(marker)-before, 2, "one more for the flag, and the check of the outage")
	})
}

// A writer may write the marker after this process has read its first flag.
func TestAMarkerThatIsWrittenLaterIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.Logger(slog.New(slog.DiscardHandler)))
		read := func(version int) {
			s.put("flag", version)
			s.invalidate("flag", 0)
			assert.Equal(t, version, s.version("flag"))
			synctest.Wait()
		}
		read(1)
		s.setMarker(true)
		read(2)
		assert.Equal(t, 1, s.readsOf(marker), "once a minute")
		s.pass(time.Minute)
		read(3)
		assert.Equal(t, 2, s.readsOf(marker))
		s.pass(time.Minute)
		read(4)
		assert.Equal(t, 2, s.readsOf(marker), "until it was seen")
		s.put("flag", 0)
		s.setMarker(false)
		s.invalidate("flag", 0)
		assert.Equal(t, 4, s.version("flag"), "the last known value")
	})
}

// A read of the whole kind that finds a broken row is a response of the table: after it, an expired value is not waited
// for as long as after a freeze.
func TestAReadWithABrokenRowIsAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.Logger(slog.New(slog.DiscardHandler)))
		s.fill(2, 1)
		s.broken["flag0"] = true
		s.Wake()
		assert.Equal(t, map[string]int{"flag1": 1}, s.versions())
		s.pass(time.Hour)
		defer s.hold(whole)()
		assert.Equal(t, v4store.DefaultShortWait, waited(func() { assert.Equal(t, 1, s.version("flag1")) }))
	})
}
