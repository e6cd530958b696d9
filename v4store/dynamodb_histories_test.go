package v4store_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
)

// history is one Init with concurrent writers, generated from a seed. Before each of the Init's transactions other
// writers may write, or the call may fail. Rows that the other writers changed are recorded.
type history struct {
	*testing.T
	*world
	rng     *rand.Rand
	nested  bool            // the other writers are writing: their calls are not disturbed
	touched map[string]held // rows that other writers changed during the Init, as they left them
}

// held is the content of a row, or noRow.
type held struct {
	version int
	item    string
}

var noRow = held{version: -1}

// historyFlags is more than a transaction can contain.
const historyFlags = 120

// An Init makes the table's rows exactly its data, except rows that other writers changed meanwhile to a version that
// is at least as new. Such rows are kept.
func TestInitWithConcurrentWriters(t *testing.T) {
	others := 0
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			h := &history{T: t, world: newWorld(), rng: rand.New(rand.NewPCG(seed, 0)), touched: map[string]held{}}
			h.others() // the initial rows
			clear(h.touched)
			before, data := h.rows(), h.data()
			h.intercept(h.disturb)
			require.NoError(t, h.store().Init(data), "seed %d", seed)
			h.check(before, data)
			others += len(h.touched)
			require.False(t, h.Failed(), "seed %d", seed)

			h.cloud.Intercept(nil)
			clear(h.touched)
			require.NoError(t, h.store().Init(data))
			h.check(nil, data)
			require.False(t, h.Failed(), "seed %d, undisturbed", seed)
		})
	}
	assert.Greater(t, others, 1000, "rows that other writers changed meanwhile")
}

// data returns flags with random versions.
func (h *history) data() map[ld.VersionedDataKind]map[string]ld.VersionedData {
	var words []string
	for i := range historyFlags {
		if h.rng.IntN(4) > 0 {
			words = append(words, fmt.Sprintf("flag-%03d:%d", i, h.rng.IntN(6)))
		}
	}
	return flags(words...)
}

// disturb writes rows or returns an error before the Init's transactions.
func (h *history) disturb(_ string, in any) error {
	transaction, ok := in.(*v2.TransactWriteItemsInput)
	if h.nested || !ok {
		return nil
	}
	switch h.rng.IntN(5) {
	case 0, 1:
		h.others()
	case 2:
		return &types.ProvisionedThroughputExceededException{}
	case 3:
		codes := make([]string, len(transaction.TransactItems))
		for i := range codes {
			codes[i] = []string{"None", "TransactionConflict", "ThrottlingError"}[h.rng.IntN(3)]
		}
		return canceled(codes...)
	}
	return nil
}

// others upserts, deletes, and sometimes runs another Init.
func (h *history) others() {
	h.nested = true
	defer func() { h.nested = false }()
	before, s := h.rows(), h.store()
	for range h.rng.IntN(20) {
		key, version := fmt.Sprintf("flag-%03d", h.rng.IntN(historyFlags)), h.rng.IntN(9)
		if h.rng.IntN(3) == 0 {
			require.NoError(h, s.Delete(ld.Features, key, version))
		} else {
			require.NoError(h, s.Upsert(ld.Features, &ld.Flag{Key: key, Version: version, Salt: "another's"}))
		}
	}
	if h.rng.IntN(4) == 0 {
		require.NoError(h, s.Init(h.data()))
	}
	after := h.rows()
	for i := range historyFlags {
		key := fmt.Sprintf("flag-%03d", i)
		if of(before, key) != of(after, key) {
			h.touched[key] = of(after, key)
		}
	}
}

// of returns a key's row.
func of(rows map[string]held, key string) held {
	if r, ok := rows[key]; ok {
		return r
	}
	return noRow
}

// check verifies the rows after the Init.
func (h *history) check(before map[string]held, data map[ld.VersionedDataKind]map[string]ld.VersionedData) {
	after := h.rows()
	for i := range historyFlags {
		key := fmt.Sprintf("flag-%03d", i)
		// must is the version that another writer's row must have to be kept.
		ours, got, must := noRow.version, of(after, key), of(before, key).version
		if item := data[ld.Features][key]; item != nil {
			ours, must = item.GetVersion(), item.GetVersion()
		}
		theirs, touched := h.touched[key]
		switch {
		case !touched:
			assert.Equal(h, ours, got.version, "%s: no other writer changed it", key)
		// If theirs equals the row that Init had read, Init may have replaced it.
		case theirs != noRow && theirs.version >= must && theirs != of(before, key):
			assert.Equal(h, theirs, got, "%s: it was as new as Init's version, %d", key, must)
		case got != theirs: // theirs may also have been written after Init's transaction
			assert.Equal(h, ours, got.version, "%s: before %v, theirs %v", key, of(before, key), theirs)
		}
	}
}

// rows returns the rows of all flags, including tombstones.
func (h *history) rows() map[string]held {
	out, err := h.cloud.DynamoDB.Scan(h.Context(), &v2.ScanInput{TableName: aws.String(table)})
	require.NoError(h, err)
	all := map[string]held{}
	for _, r := range out.Items {
		if r["namespace"].(*types.AttributeValueMemberS).Value == "features" {
			one := held{item: r["item"].(*types.AttributeValueMemberS).Value}
			one.version, _ = strconv.Atoi(r["version"].(*types.AttributeValueMemberN).Value)
			all[r["key"].(*types.AttributeValueMemberS).Value] = one
		}
	}
	return all
}
