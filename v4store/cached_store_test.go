package v4store_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

func TestWritesAreVisibleToReads(t *testing.T) {
	flag := func(version int) ld.VersionedData { return &ld.Flag{Key: "flag", Version: version} }
	writes := []struct {
		name  string
		write func(s *system) error
		want  map[string]int
	}{
		{"Init", func(s *system) error {
			return s.Cache.Init(map[ld.VersionedDataKind]map[string]ld.VersionedData{ld.Features: {"flag": flag(5)}})
		}, map[string]int{"flag": 5}},
		{"Upsert", func(s *system) error { return s.Cache.Upsert(ld.Features, flag(2)) },
			map[string]int{"flag": 2, "other": 1}},
		{"Delete", func(s *system) error { return s.Cache.Delete(ld.Features, "flag", 2) }, map[string]int{"other": 1}},
	}
	for _, w := range writes {
		for _, failure := range []error{nil, errTable} {
			t.Run(fmt.Sprint(w.name, " ", failure), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSystem(t)
					s.put("flag", 1)
					s.put("other", 1)
					s.versions()
					s.invalidate("flag", 0)
					release := s.hold("flag")
					early := async(func() int { return s.version("flag") })
					synctest.Wait() // a read is in progress during the write
					s.fail(failure)
					require.ErrorIs(t, w.write(s), failure)
					s.fail(nil)
					release()
					assert.Equal(t, 1, <-early)
					assert.Equal(t, w.want["flag"], s.version("flag"))
					assert.Equal(t, w.want, s.versions())
				})
			})
		}
	}
}

func TestMapsAreTheCallersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		items, err := s.Cache.All(ld.Features)
		require.NoError(t, err)
		clear(items)
		assert.Equal(t, map[string]int{"flag": 1}, s.versions())
	})
}

func TestInitializedCallsTheStoreUntilItIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		for range 10 {
			assert.False(t, s.Cache.Initialized())
		}
		assert.Equal(t, 1, s.asked, "at most once a second")
		s.inited = true
		s.pass(time.Second)
		assert.True(t, s.Cache.Initialized())
		s.inited = false
		s.pass(time.Hour)
		assert.True(t, s.Cache.Initialized())
		assert.Equal(t, 2, s.asked)
	})
}

func TestWrongOptionsAreReportedTogether(t *testing.T) {
	c := v4store.Cached[ld.VersionedDataKind, ld.VersionedData](nil, v4store.TTL(time.Hour),
		v4store.MaxStale(time.Minute),
		v4store.Logger(nil), v4store.ReadLimit(-1))
	_, getErr := c.Get(ld.Features, "flag")
	_, allErr := c.All(ld.Features)
	for _, err := range []error{
		getErr, allErr, c.Init(nil), c.Delete(ld.Features, "flag", 1), c.Upsert(ld.Features, &ld.Flag{}),
	} {
		require.ErrorContains(t, err, "configure cache: no inner store")
		require.ErrorContains(t, err, "option MaxStale(1m0s): is below the TTL of 1h0m0s")
		require.ErrorContains(t, err, "option Logger: is nil")
		require.ErrorContains(t, err, "option ReadLimit(-1ns): must be positive")
	}
	assert.False(t, c.Initialized())
	c.InvalidateAll()
}

// plain is an item that is neither an interface nor comparable.
type plain struct {
	Key  string
	Tags []string
}

func (p plain) GetKey() string  { return p.Key }
func (p plain) GetVersion() int { return len(p.Tags) }
func (p plain) IsDeleted() bool { return false }

type plainKind string

func (k plainKind) GetNamespace() string              { return string(k) }
func (k plainKind) GetDefaultItem() any               { return new(plain) }
func (k plainKind) MakeDeletedItem(string, int) plain { return plain{} }

type plainStore map[string]plain

func (s plainStore) Get(_ plainKind, key string) (plain, error) { return s[key], nil }
func (s plainStore) All(plainKind) (map[string]plain, error)    { return s, nil }
func (s plainStore) Init(map[plainKind]map[string]plain) error  { return nil }
func (s plainStore) Delete(plainKind, string, int) error        { return nil }
func (s plainStore) Upsert(plainKind, plain) error              { return nil }
func (s plainStore) Initialized() bool                          { return true }
func TestAMissingItemIsTheZeroItem(t *testing.T) {
	c := v4store.Cached(plainStore{"a": {Key: "a"}}, v4store.TTL(-1))
	for range 2 {
		item, err := c.Get("things", "a")
		require.NoError(t, err)
		assert.Equal(t, "a", item.Key)
		item, err = c.Get("things", "b")
		require.NoError(t, err)
		assert.Zero(t, item)
		all, err := c.All("things")
		require.NoError(t, err)
		assert.Equal(t, map[string]plain{"a": {Key: "a"}}, all)
	}
	assert.Equal(t, 3, c.Stats().Reads)
}
