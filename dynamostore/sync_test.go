package dynamostore_test

import (
	"strings"
	"testing"

	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
)

func TestChangedItemsCostTheirOwnReads(t *testing.T) {
	api := newSpy(t)
	s := open(t, api, "p")
	require.NoError(t, s.Init(many(500, nil)))
	fence, err := s.TakeFence(t.Context())
	require.NoError(t, err)
	api.reset()
	d, err := s.CompareItems(t.Context(), []st.SerializedCollection{{Kind: features, Items: []st.KeyedSerializedItemDescriptor{
		keyed("flag-001", item("flag-001", 1)), keyed("flag-002", item("flag-002", 2)), keyed("flag-003", item("flag-003", 0)),
		keyed("new", tombstone(1)), keyed("new", item("new", 2)), keyed(strings.Repeat("x", 2000), item("x", 1)),
	}}})
	require.NoError(t, err)
	assert.Equal(t, []string{"flag-001"}, keys(d.Unchanged))
	assert.Equal(t, []string{"flag-002"}, keys(d.Updated))
	assert.Equal(t, []string{"flag-003"}, keys(d.Lower))
	assert.Equal(t, []string{"new"}, keys(d.Added), "of a key that comes twice, the last counts")
	assert.Len(t, d.Refused, 1)
	assert.Empty(t, d.Removed)
	assert.Equal(t, map[string]int{"GetItem": 4}, api.ops)

	var progress [][2]int
	written, err := s.Write(t.Context(), d, dynamostore.WriteOptions{Fence: fence, Progress: func(done, total int) {
		progress = append(progress, [2]int{done, total})
	}})
	require.NoError(t, err)
	assert.Equal(t, dynamostore.Written{Transactions: 1}, written)
	assert.Equal(t, [][2]int{{0, 2}, {2, 2}}, progress)
	assert.Equal(t, map[string]int{"GetItem": 4, "TransactWriteItems": 1}, api.ops)
	assert.Len(t, flags(t, s), 501)
}

// Who has nothing to write may still have lost the fence, and must not believe that all is well.
func TestNothingToWriteReadsTheFence(t *testing.T) {
	api := newSpy(t)
	s := open(t, api, "")
	require.NoError(t, s.Init(data("a:1")))
	fence, err := s.TakeFence(t.Context())
	require.NoError(t, err)
	write := func() error {
		d, err := s.Compare(t.Context(), data("a:1"))
		require.NoError(t, err)
		api.reset()
		_, err = s.Write(t.Context(), d, dynamostore.WriteOptions{Fence: fence})
		assert.Equal(t, map[string]int{"GetItem": 1}, api.ops)
		return err
	}
	require.NoError(t, write())
	_, err = s.TakeFence(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, write(), dynamostore.ErrFenceLost)
	deleteRow(t, api, "$sync")
	require.ErrorIs(t, write(), dynamostore.ErrFenceLost)
}
