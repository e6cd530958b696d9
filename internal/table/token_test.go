package table_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/table"
)

func TestChangedItemsCostTheirOwnReads(t *testing.T) {
	api := spy.New()
	s := open(api, "p")
	require.NoError(t, initialize(t, s, many(500, nil)))
	fence, err := s.TakeToken(t.Context())
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
	assert.Equal(t, []string{"new"}, keys(d.Added), "of a key that comes twice, the last counts")
	assert.Len(t, d.Refused, 1)
	assert.Empty(t, d.Removed)
	assert.Equal(t, map[string]int{"GetItem": 4}, api.Operations())

	var progress [][2]int
	written, err := s.Write(t.Context(), d, table.WriteOptions{Token: fence, Progress: func(done, total int) {
		progress = append(progress, [2]int{done, total})
	}})
	require.NoError(t, err)
	assert.Equal(t, table.Written{Transactions: 1}, written)
	assert.Equal(t, [][2]int{{0, 2}, {2, 2}}, progress)
	assert.Equal(t, map[string]int{"GetItem": 4, "TransactWriteItems": 1}, api.Operations())
	assert.Len(t, flags(t, s), 501)
}

// Who has nothing to write may still have lost the fence, and must not believe that all is well.
func TestNothingToWriteReadsTheFence(t *testing.T) {
	api := spy.New()
	s := open(api, "")
	require.NoError(t, initialize(t, s, data("a:1")))
	fence, err := s.TakeToken(t.Context())
	require.NoError(t, err)
	write := func() error {
		d, err := s.Compare(t.Context(), data("a:1"))
		require.NoError(t, err)
		api.Reset()
		_, err = s.Write(t.Context(), d, table.WriteOptions{Token: fence})
		assert.Equal(t, map[string]int{"GetItem": 1}, api.Operations())
		return err
	}
	require.NoError(t, write())
	_, err = s.TakeToken(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, write(), table.ErrTokenLost)
	deleteRow(t, api, "$sync")
	require.ErrorIs(t, write(), table.ErrTokenLost)
}
