package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/table"
)

func TestChangedItemsCostTheirOwnReads(t *testing.T) {
	api := spy.New()
	s := open(api, "p")
	require.NoError(t, initialize(t, s, many(500, nil)))
	token, err := s.TakeToken(t.Context())
	require.NoError(t, err)
	api.Reset()
	d, err := s.CompareItems(t.Context(), []table.Collection{{Kind: features, Items: []table.Item{
		item("flag-001", 1), item("flag-002", 2), item("flag-003", 0),
		tombstone("new", 1), item("new", 2), item(strings.Repeat("x", 2000), 1),
	}}})
	require.NoError(t, err)
	assert.Equal(t, []string{"flag-001"}, keys(d.Unchanged))
	assert.Equal(t, []string{"flag-002"}, keys(d.Updated))
	assert.Equal(t, []string{"flag-003"}, keys(d.Lower))
	assert.Equal(t, []string{"new"}, keys(d.Added), "of two items with one key, the last counts")
	assert.Len(t, d.Refused, 1)
	assert.Empty(t, d.Removed)
	assert.Equal(t, map[string]int{"GetItem": 4}, api.Operations())

	var progress [][2]int
	written, err := s.Write(t.Context(), d, table.WriteOptions{Token: token, Progress: func(done, total int) {
		progress = append(progress, [2]int{done, total})
	}})
	require.NoError(t, err)
	assert.Equal(t, table.Written{Transactions: 1}, written)
	assert.Equal(t, [][2]int{{0, 2}, {2, 2}}, progress)
	assert.Equal(t, map[string]int{"GetItem": 4, "TransactWriteItems": 1}, api.Operations())
	assert.Len(t, flags(t, s), 501)
}

// A sync that had nothing to write may also have lost its token. It must not be recorded as the newest sync.
func TestTheEndOfASyncChecksItsToken(t *testing.T) {
	api := spy.New()
	s := open(api, "p")
	requireState := func(want table.SyncState) {
		t.Helper()
		got, err := s.SyncState(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	requireState(table.SyncState{})
	first, synced, held := time.UnixMilli(1_000), time.UnixMilli(2_000), time.UnixMilli(3_000)
	require.NoError(t, s.NoteSince(t.Context(), first))
	require.NoError(t, s.NoteSince(t.Context(), held))
	requireState(table.SyncState{Since: first})

	token, err := s.TakeToken(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), token, "the row existed, but without a token")
	api.Reset()
	require.NoError(t, s.EndSync(t.Context(), token, synced, false))
	assert.Equal(t, map[string]int{"UpdateItem": 1}, api.Operations())
	require.NoError(t, s.EndSync(t.Context(), token, held, true))
	requireState(table.SyncState{Since: first, Synced: synced, Held: held})

	_, err = s.TakeToken(t.Context())
	require.NoError(t, err)
	for _, isHeld := range []bool{false, true} {
		require.ErrorIs(t, s.EndSync(t.Context(), token, time.UnixMilli(4_000), isHeld), table.ErrTokenLost)
	}
	requireState(table.SyncState{Since: first, Synced: synced, Held: held})
	deleteRow(t, api, "p:$sync")
	require.ErrorIs(t, s.EndSync(t.Context(), token, synced, false), table.ErrTokenLost)
	requireState(table.SyncState{})
}
