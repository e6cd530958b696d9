package demo_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/local/demo"
)

func small() demo.Config {
	c := demo.Defaults()
	c.Changes, c.Consumers, c.Services, c.Lambdas, c.Flags, c.Segments = 30, 5, 2, 3, 20, 3
	return c
}

func TestNothingIsLostOrStale(t *testing.T) {
	c := small()
	c.Patience = time.Minute
	var progress []int
	c.Progress = func(done, _ int) { progress = append(progress, done) }
	r, err := demo.Run(t.Context(), c)
	require.NoError(t, err)
	assert.True(t, r.OK(), "%+v", r)
	assert.GreaterOrEqual(t, 2*r.Alone, r.Changes, "at least half of the flips travel alone")
	assert.GreaterOrEqual(t, r.Messages, r.Alone)
	assert.Equal(t, r.Changes, r.Messages+r.Coalesced)
	assert.Equal(t, c.Changes, progress[len(progress)-1])
	assert.LessOrEqual(t, r.TableWrites, 3*(r.Syncs+1), "a token, a transaction and the time of the sync each")
	assert.Positive(t, r.Evaluations)
	assert.Positive(t, r.P50)
	assert.LessOrEqual(t, r.P50, r.P99)
	assert.Positive(t, r.LambdaP50)
	assert.Positive(t, r.ServiceP50)
	assert.Positive(t, r.Polls)
	assert.LessOrEqual(t, r.Appends, r.Messages+10, "one for each batch that was published, and few for the first sync")

	var text strings.Builder
	_, err = r.WriteTo(&text)
	require.NoError(t, err)
	for _, want := range []string{"lost         0", "stale reads  0", "flip to evaluation",
		"flip to a service that polls", "flip to a warm Lambda", "##"} {
		assert.Contains(t, text.String(), want)
	}
}

func TestEachSabotageIsNoticedAndEndsTheRun(t *testing.T) {
	for _, sabotage := range demo.Sabotages() {
		t.Run(string(sabotage), func(t *testing.T) {
			c := small()
			c.Sabotage, c.Changes = sabotage, 1000
			c.Patience = time.Minute // a stale read needs none
			want := "stale read: consumer"
			if sabotage == demo.DropMessage { // no cache was notified, so no read is stale
				c.Patience, want = time.Second, "never evaluated flag-"
			}
			r, err := demo.Run(t.Context(), c)
			require.NoError(t, err)
			assert.False(t, r.OK())
			assert.Contains(t, r.Fault, want)
			assert.Less(t, r.Changes, 100, "the run ends at the first fault")
		})
	}
}

func TestWrongConfigurationsAreReportedTogether(t *testing.T) {
	_, err := demo.Run(t.Context(),
		demo.Config{Changes: -1, Consumers: 1, Services: -1, Lambdas: -1, Segments: -1, Sabotage: "unplug"})
	for _, want := range []string{"--changes -1", "--flags 0", "services -1", "lambdas -1", "segments -1",
		"patience 0s", `--sabotage "unplug": must be one of drop-message`} {
		assert.ErrorContains(t, err, want)
	}
}
