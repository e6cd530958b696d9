package v4store_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// 500 flags are throttled for a minute, while all others can be read.
func TestThrottledKeysCauseFewReadsAndOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newSystem(t, v4store.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		throttled := s.fill(500, 1)
		s.put("well", 1)
		s.marker = true
		for key := range throttled {
			s.version(key)
			s.failOnly(key, errTable)
		}
		s.version("well")
		before := s.Stats()
		s.InvalidateAll()
		for second := range 60 {
			for key := range throttled {
				assert.Equal(t, 1, s.version(key))
				synctest.Wait()
			}
			s.put("well", second+2)
			s.invalidate("well", 0)
			assert.Equal(t, second+2, s.version("well"), "keys that can be read are fresh")
			time.Sleep(time.Second)
		}
		stats := s.Stats()
		assert.Less(t, stats.Errors-before.Errors, 500+30, "one per key, then a few per minute")
		assert.Equal(t, stats.Errors-before.Errors+60, stats.Reads-before.Reads)
		assert.LessOrEqual(t, s.readsOf(marker), 2, "one check")
		assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())

		for key := range throttled {
			s.failOnly(key, nil)
			s.put(key, 2)
		}
		time.Sleep(5 * time.Second)
		for key := range throttled {
			s.version(key)
			synctest.Wait()
		}
		for key := range throttled {
			assert.Equal(t, 2, s.version(key))
		}
	})
}

func TestCallsWaitOnceForATableThatHangs(t *testing.T) {
	cases := []struct {
		name       string
		invalidate bool
		wake       bool
		wait       time.Duration
	}{
		{"an expired value", false, false, 250 * time.Millisecond},
		{"an invalidated value", true, false, time.Second},
		{"an expired value in the first read after a freeze", false, true, time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, v4store.ReadLimit(time.Second), v4store.Logger(slog.New(slog.DiscardHandler)))
				flags := s.fill(10, 1)
				for key := range flags {
					s.version(key)
				}
				s.fill(10, 2)
				time.Sleep(2 * time.Hour)
				if c.invalidate {
					s.InvalidateAll()
				}
				if c.wake {
					s.Wake()
				}
				releases := []func(){s.hold(marker)}
				for key := range flags {
					releases = append(releases, s.hold(key))
				}
				total := waited(func() {
					for key := range flags {
						assert.Equal(t, 1, s.version(key), "the last known value")
					}
				})
				assert.Equal(t, c.wait, total, "one wait, not one per key")

				time.Sleep(2 * time.Second) // the read is abandoned
				for key := range flags {
					total += waited(func() { s.version(key) })
				}
				assert.Equal(t, c.wait, total, "no wait in the outage")
				for _, release := range releases {
					release()
				}
				time.Sleep(5 * time.Second)
				s.version("flag0") // starts a probe
				synctest.Wait()
				for key := range flags {
					assert.Equal(t, 2, s.version(key), "fresh after the backoff and the probe")
				}
			})
		})
	}
}

func TestTheShortWaitIsAnOption(t *testing.T) {
	get, all := func(s *system) int { return s.version("flag") }, func(s *system) int { return s.versions()["flag"] }
	cases := []struct {
		name   string
		call   func(s *system) int
		expire func(s *system)
	}{
		{"a Get", get, func(s *system) {
			s.version("flag")
			time.Sleep(time.Hour)
		}},
		{"an All", all, func(s *system) {
			s.versions()
			time.Sleep(time.Hour)
		}},
		{"an All of which one item has expired", all, func(s *system) {
			release := s.hold("flag")
			get := async(func() int { return s.version("flag") })
			synctest.Wait()
			time.Sleep(time.Second)
			all := async(s.versions) // its read does not cover the flag, which is being read
			synctest.Wait()
			release()
			<-get
			<-all
			time.Sleep(time.Hour - time.Millisecond)
		}},
	}
	for _, c := range cases {
		for wait, took := range map[time.Duration]time.Duration{-1: 3 * time.Second, 0: 0, time.Second: time.Second} {
			t.Run(fmt.Sprint(c.name, " ", wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSystem(t, v4store.ShortWait(wait), v4store.Logger(slog.New(slog.DiscardHandler)))
					s.put("flag", 1)
					c.expire(s)
					s.put("flag", 2)
					releases := []func(){s.hold("flag"), s.hold(whole), s.hold(marker)}
					assert.Equal(t, took, waited(func() { assert.Equal(t, 1, c.call(s), "the last known value") }))
					for _, release := range releases {
						release()
					}
					synctest.Wait()
					if wait >= 0 { // otherwise the read was abandoned
						assert.Zero(t, waited(func() { assert.Equal(t, 2, c.call(s)) }), "read in the meantime")
					}
				})
			})
		}
	}
}

func TestAColdCacheWaitsOnceForATableThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.ReadLimit(time.Second), v4store.Logger(slog.New(slog.DiscardHandler)))
		defer s.hold(marker)()
		for i := range 10 {
			defer s.hold(fmt.Sprint("flag", i))()
		}
		total := waited(func() {
			for i := range 10 {
				_, err := s.Cache.Get(ld.Features, fmt.Sprint("flag", i))
				require.ErrorContains(t, err, "abandoned")
			}
		})
		assert.Equal(t, time.Second, total)
	})
}

// In Lambda, timers do not run between invocations, so Wake starts the probe.
func TestWakeStartsAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.Logger(slog.New(slog.DiscardHandler)))
		s.put("flag", 1)
		s.version("flag")
		s.fail(errTable)
		s.InvalidateAll()
		assert.Equal(t, 1, s.version("flag"))
		s.fail(nil)
		s.put("flag", 2)
		s.Wake()
		synctest.Wait()
		assert.Equal(t, 1, s.version("flag"), "the backoff has not ended")
		s.move(0, time.Minute) // frozen
		s.Wake()
		synctest.Wait()
		assert.Equal(t, 2, s.version("flag"))
	})
}
