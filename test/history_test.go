package test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/internal/proof/storehistory"
	"github.com/warmflags/warmflags/internal/proof/synchistory"
	"github.com/warmflags/warmflags/test/emulator"
)

var (
	storeSeeds = flag.Int("sim.seeds", 40, "how many histories of Inits and upserts to run on DynamoDB Local")
	syncSeeds  = flag.Int("sync.seeds", 40, "how many histories of syncs to run on DynamoDB Local")
)

// These histories use the real clock: a sync waits syncTimeout for LaunchDarkly and then lingers for syncLinger. On a
// busy machine more syncs fail, which is a valid history too. Only the last sync of each history must succeed, and its
// LaunchDarkly answers at once.
const (
	syncTimeout = 200 * time.Millisecond
	syncLinger  = 5 * time.Millisecond
	sideBySide  = 8
)

// The histories of dynamostore's tests, on DynamoDB Local, whose conditions and transactions are Amazon's
// implementation.
func TestStoreHistories(t *testing.T) {
	table := newFlagTable(t)
	var mu sync.Mutex // guards total
	var total storehistory.Report
	playAll(t, *storeSeeds, func(seed int, prefix string) error {
		report, err := storehistory.Run(t.Context(), storehistory.Options{
			Seed: uint64(seed), Client: emulator.DynamoDB(), Table: table, Prefix: prefix,
		})
		mu.Lock()
		defer mu.Unlock()
		total.Add(report)
		return err
	})
	t.Logf("%d histories on DynamoDB Local: %+v", *storeSeeds, total)
	for what, n := range map[string]int{
		"Inits": total.Inits, "upserts": total.Upserts, "transactions": total.Transactions,
		"canceled": total.Canceled, "lost answers": total.Silent, "crashes": total.Crashes,
	} {
		assert.NotZero(t, n, what)
	}
}

// Without conditions, transactions lose upserts, and the histories notice it.
func TestStoreHistoriesCanFail(t *testing.T) {
	table := newFlagTable(t)
	for seed := range 20 {
		_, err := storehistory.Run(t.Context(), storehistory.Options{
			Seed: uint64(
				seed,
			),
			Client: unconditional{emulator.DynamoDB()},
			Table:  table,
			Prefix: fmt.Sprint("seed-", seed),
		})
		if err != nil {
			assert.ErrorContains(t, err, "overwrote a newer row")
			return
		}
	}
	assert.Fail(t, "no fault was noticed")
}

// unconditional removes the conditions from transactions.
type unconditional struct{ *dynamodb.Client }

func (u unconditional) TransactWriteItems(
	ctx context.Context,
	in *dynamodb.TransactWriteItemsInput,
	o ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	for _, i := range in.TransactItems {
		if i.Put != nil {
			i.Put.ConditionExpression, i.Put.ExpressionAttributeNames, i.Put.ExpressionAttributeValues = nil, nil, nil
		} else {
			i.Delete.ConditionExpression = nil
			i.Delete.ExpressionAttributeNames, i.Delete.ExpressionAttributeValues = nil, nil
		}
	}
	return u.Client.TransactWriteItems(ctx, in, o...)
}

// The histories of flagsync's tests.
func TestSyncHistories(t *testing.T) {
	table := newFlagTable(t)
	var mu sync.Mutex // guards total
	var total synchistory.Report
	playAll(t, *syncSeeds, func(seed int, prefix string) error {
		report, err := synchistory.Run(t.Context(), synchistory.Options{
			Seed: uint64(
				seed,
			),
			Client:  emulator.DynamoDB(),
			Table:   table,
			Prefix:  prefix,
			Timeout: syncTimeout,
			Linger:  syncLinger,
		})
		mu.Lock()
		defer mu.Unlock()
		total.Add(report)
		return err
	})
	t.Logf("%d histories on DynamoDB Local: %+v", *syncSeeds, total)
	for what, n := range map[string]int{
		"acknowledged": total.Acknowledged, "tokens lost": total.TokensLost, "crashes": total.Crashes,
		"upserts": total.Upserts, "transactions": total.Transactions,
	} {
		assert.NotZero(t, n, what)
	}
}

// playAll runs the histories in one table, the first one without a prefix. It runs some in parallel, because they
// mostly wait. It stops at the first wrong history.
func playAll(t *testing.T, histories int, play func(seed int, prefix string) error) {
	t.Helper()
	var players sync.WaitGroup
	var next atomic.Int64 // the next seed to run
	for range sideBySide {
		players.Go(func() {
			for seed := int(next.Add(1)) - 1; seed < histories && !t.Failed(); seed = int(next.Add(1)) - 1 {
				prefix := ""
				if seed > 0 {
					prefix = fmt.Sprint("seed-", seed)
				}
				assert.NoError(t, play(seed, prefix))
			}
		})
	}
	players.Wait()
}
