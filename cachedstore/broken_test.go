package cachedstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

// brokenRow is the error of a row without the schema, like dynamostore's.
type brokenRow struct{ error }

func (brokenRow) BrokenRow() {}

var errBroken = brokenRow{errors.New("no version")}

// skipping is a table that skips rows and reports them, like dynamostore.
type skipping struct {
	*table
	rows map[string]error // by key. A test changes it only while no read is in progress
}

func (x *skipping) Build(subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	return x, nil
}

func (x *skipping) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.SerializedItemDescriptor, error) {
	item, err := x.table.Get(kind, key)
	return item, errors.Join(err, x.rows[key])
}

func (x *skipping) GetAllAndBroken(
	_ context.Context, kind ldstoretypes.DataKind,
) ([]ldstoretypes.KeyedSerializedItemDescriptor, map[string]error, error) {
	all, err := x.GetAll(kind)
	return slices.DeleteFunc(all,
		func(i ldstoretypes.KeyedSerializedItemDescriptor) bool { return x.rows[i.Key] != nil }), x.rows, err
}

// newSkipping returns a system over a table that skips rows.
func newSkipping(t *testing.T) (*system, *skipping) {
	s := newSystem(t, newTable(t))
	require.NoError(t, s.client.Close())
	x := &skipping{table: s.table, rows: map[string]error{}}
	s.store = cachedstore.New(x, cachedstore.InLambda(true), cachedstore.Clock(s.clocks.now))
	s.client = s.build()
	return s, x
}

func TestASkippedRowKeepsItsLastKnownValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, x := newSkipping(t)
		s.put("flag", 1)
		s.put("other", 1)
		assert.Equal(t, map[string]int{"flag": 1, "other": 1}, s.versions())
		s.put("flag", 2)
		s.put("other", 2)
		s.put("new", 1)
		x.rows["flag"], x.rows["new"] = errBroken, errBroken
		s.store.InvalidateAll()
		assert.Equal(t, map[string]int{"flag": 1, "other": 2}, s.versions())
		assert.Equal(t, 2, s.store.Stats().BrokenRows)
		assert.Equal(t, 1, s.version("flag"))
		clear(x.rows)
		s.store.InvalidateAll()
		assert.Equal(t, map[string]int{"flag": 2, "other": 2, "new": 1}, s.versions())
	})
}

// A row that this process has never been able to decode hides no other row, however often the kind is read.
func TestASkippedRowHidesNoOtherRowInAColdProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, x := newSkipping(t)
		s.put("a", 1)
		s.put("b", 1)
		s.put("broken", 1)
		x.rows["broken"] = errBroken
		for range 100 {
			assert.Equal(t, map[string]int{"a": 1, "b": 1}, s.versions())
			_, err := s.client.Get(features, "broken")
			require.ErrorIs(t, err, errBroken)
			s.pass(time.Minute) // the row's backoff and, every fifth time, the TTL have ended
		}
		assert.Greater(t, s.readsOf("broken"), 10)
		synctest.Wait()
		assert.Empty(t, s.status, "not an outage")
		assert.Empty(t, s.log.GetOutput(ldlog.Warn), "the inner store has logged it")
		clear(x.rows)
		s.pass(time.Minute)
		assert.Equal(t, map[string]int{"a": 1, "b": 1, "broken": 1}, s.versions())
	})
}

// A row that stays broken is logged once, whatever reads it and however often. Rows that one Query finds share a line.
func TestABrokenRowIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(time.Minute))
		lines := func() []string {
			synctest.Wait() // lines are logged after the calls were released
			return s.log.GetOutput(ldlog.Warn)
		}
		hour := func() {
			for range 3600 {
				s.versions()
				_, _ = s.client.Get(features, "flag")
				s.pass(time.Second)
			}
		}
		s.put("other", 1)
		s.raw("flag", 1, `{`)
		s.raw("flag2", 1, `{`)
		hour()
		require.Len(t, lines(), 1)
		assert.Contains(t, lines()[0], `decode features "flag": `)
		assert.Contains(t, lines()[0], `decode features "flag2": `)
		s.raw("flag3", 1, `{`)
		hour()
		require.Len(t, lines(), 2)
		s.put("flag", 2)
		hour()
		s.raw("flag", 3, `{`)
		hour()
		assert.Len(t, lines(), 3, "another failing period")
	})
}

func TestBrokenJSONKeepsTheLastKnownValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.put("other", 1)
		s.versions()
		s.raw("flag", 2, `{"key": `)
		s.put("other", 2)
		s.invalidate("flag", 2)
		assert.Equal(t, 1, s.version("flag"))
		s.store.InvalidateAll()
		assert.Equal(t, map[string]int{"flag": 1, "other": 2}, s.versions(), "other rows are not affected")
		synctest.Wait() // lines are logged after the calls were released
		assert.Empty(t, s.status, "not an outage")
		assert.Contains(t, s.log.GetOutput(ldlog.Warn)[0], `decode features "flag": EOF`)

		reads := s.store.Stats().Reads
		s.versions()
		s.version("flag")
		assert.Equal(t, reads, s.store.Stats().Reads, "it is not read at each Get")
		s.put("flag", 3)
		s.pass(time.Minute)
		assert.Equal(t, 3, s.version("flag"))
		assert.Equal(t, map[string]int{"flag": 3, "other": 2}, s.versions())
	})
}

// A row that cannot be decoded is logged with a reason, and is not an outage.
func TestARowThatCannotBeDecodedIsLoggedWithAReason(t *testing.T) {
	for _, json := range []string{``, `{`, `[]`, `"text"`, `{"key": 5}`, `{"key":"flag","version":"x"}`, `nonsense`} {
		t.Run(json, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t))
				s.raw("flag", 1, json)
				_, err := s.client.Get(features, "flag")
				require.ErrorContains(t, err, `decode features "flag": `)
				s.versions()
				synctest.Wait() // lines are logged after the calls were released
				lines := s.log.GetOutput(ldlog.Warn)
				require.Len(t, lines, 1)
				_, reason, _ := strings.Cut(lines[0], `decode features "flag": `)
				reason, _, _ = strings.Cut(reason, ";")
				assert.NotEmpty(t, strings.TrimSpace(reason), lines[0])
			})
		})
	}
}
