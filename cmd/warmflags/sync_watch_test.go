package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/internal/flagsync"
)

func TestAMinuteOfSilenceIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, stderr strings.Builder
		w := newWatch(true, false, &out, &stderr)
		ctx, stop := context.WithCancel(t.Context())
		go w.breakSilence(ctx)
		said := func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return stderr.String()
		}
		silent := func(d time.Duration) string {
			before := said()
			time.Sleep(d) // virtual
			synctest.Wait()
			return said()[len(before):]
		}
		assert.Empty(t, silent(59*time.Second))
		assert.Equal(t, "\rstill connecting\033[K", silent(2*time.Second))
		w.report(flagsync.Result{})
		assert.Empty(t, silent(59*time.Second), "it is less than a minute since the latest line")
		assert.Regexp(t, `^\r\d\d:\d\d:\d\d no change for 1m0s\x1b\[K$`, silent(time.Second))
		assert.Empty(t, silent(59*time.Second))
		assert.Regexp(t, `^\r\d\d:\d\d:\d\d no change for 2m0s\x1b\[K$`, silent(time.Second))
		stop()
		assert.Empty(t, out.String())
	})
}
