package dynamostore_test

import (
	"flag"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/proof/storehistory"
)

var seeds = flag.Int("sim.seeds", 100, "histories to play")

// TestHistories plays one history per seed, each in a bubble with virtual time. The module test plays some of them on
// DynamoDB Local.
func TestHistories(t *testing.T) {
	var total storehistory.Report
	for seed := range *seeds {
		synctest.Test(t, func(t *testing.T) {
			cloud := localaws.New()
			cloud.CreateFlagTable(spy.Table)
			report, err := storehistory.Run(t.Context(), storehistory.Options{
				Seed: uint64(seed), Client: cloud.DynamoDB, Table: spy.Table,
				Prefix: []string{"", "production"}[seed%2],
			})
			require.NoError(t, err)
			total.Add(report)
		})
	}
	t.Logf("%d histories: %+v", *seeds, total)
	for what, n := range map[string]int{
		"Inits": total.Inits, "upserts": total.Upserts, "transactions": total.Transactions,
		"canceled": total.Canceled, "lost responses": total.Silent, "crashes": total.Crashes,
	} {
		assert.NotZero(t, n, what)
	}
	assert.InDelta(t, 0.3, float64(total.Throttled)/float64(total.Calls), 0.05, "share of calls throttled")
}
