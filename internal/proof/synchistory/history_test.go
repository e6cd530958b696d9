package synchistory_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/synchistory"
)

var seeds = flag.Int("sync.seeds", 60, "histories to play")

const table = "flags"

// play runs a history in a bubble, with virtual time.
func play(t *testing.T, seed int) (report synchistory.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cloud := localaws.New()
		cloud.CreateFlagTable(table)
		var err error
		report, err = synchistory.Run(t.Context(), synchistory.Options{
			Seed: uint64(seed), Client: cloud.DynamoDB, Table: table, Prefix: []string{"", "production"}[seed%2],
		})
		require.NoError(t, err)
	})
	return report
}

func TestHistories(t *testing.T) {
	var total synchistory.Report
	for seed := range *seeds {
		total.Add(play(t, seed))
	}
	t.Logf("%d histories: %+v", *seeds, total)
	for what, n := range map[string]int{
		"acknowledged": total.Acknowledged, "tokens lost": total.TokensLost, "guarded": total.Guarded,
		"refused keys": total.Unauthorized, "crashes": total.Crashes, "upserts": total.Upserts,
		"patches": total.Patches,
	} {
		assert.NotZero(t, n, what)
	}
}

func TestASeedIsPlayedAlike(t *testing.T) {
	for seed := range 5 {
		first := play(t, seed)
		assert.Equal(t, first, play(t, seed), "seed %d", seed)
	}
}

func ExampleRun() {
	cloud := localaws.New()
	cloud.CreateFlagTable(table)
	report, err := synchistory.Run(context.Background(), synchistory.Options{
		Seed: 1, Client: cloud.DynamoDB, Table: table, Prefix: "seed-1", Timeout: 20 * time.Millisecond,
		Linger: time.Millisecond,
	})
	fmt.Println(report.Syncs > 0, err)
	// Output: true <nil>
}
