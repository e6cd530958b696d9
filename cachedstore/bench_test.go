package cachedstore_test

import (
	"fmt"
	"testing"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

// clockModes are the ways in which a hit determines whether a value has expired. The module benchmarks measures the
// cost of a hit, compared with other caches.
var clockModes = []struct {
	name    string
	options []cachedstore.Option
	wake    bool
}{
	{"service", []cachedstore.Option{cachedstore.InLambda(false)}, false},
	{"StrictClock", []cachedstore.Option{cachedstore.InLambda(false), cachedstore.StrictClock()}, false},
	{"Lambda", []cachedstore.Option{cachedstore.InLambda(true)}, false},
	{"Lambda with Wake", []cachedstore.Option{cachedstore.InLambda(true)}, true},
}

// eachHit runs f for each clock mode, with a Get and with a GetAll of 500 cached flags.
func eachHit[T interface {
	testing.TB
	Run(string, func(T)) bool
}](t T, f func(t T, hit func())) {
	x, keys := newTable(t), make([]string, 500)
	for i := range keys {
		keys[i] = fmt.Sprintf("flag-%03d", i)
		x.put(keys[i], 1)
	}
	for _, mode := range clockModes {
		t.Run(mode.name, func(t T) {
			store := cachedstore.New(x, mode.options...)
			client, err := store.Build(subsystems.BasicClientContext{
				Logging: subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()},
			})
			require.NoError(t, err)
			defer func() { require.NoError(t, client.Close()) }()
			if mode.wake {
				store.Wake()
			}
			i := 0
			hits := map[string]func(){
				"Get": func() {
					i = (i + 1) % len(keys)
					if item, err := client.Get(features, keys[i]); err != nil || item.Version != 1 {
						t.Error(item, err)
					}
				},
				"GetAll": func() {
					if items, err := client.GetAll(features); err != nil || len(items) != len(keys) {
						t.Error(len(items), err)
					}
				},
			}
			hits["GetAll"]()
			for name, hit := range hits {
				t.Run(name, func(t T) { f(t, hit) })
			}
		})
	}
}

func TestNoAlloc(t *testing.T) {
	eachHit(t, func(t *testing.T, hit func()) {
		assert.Zero(t, testing.AllocsPerRun(2000, hit))
	})
}

func BenchmarkHitNoAlloc(b *testing.B) {
	eachHit(b, func(b *testing.B, hit func()) {
		b.ReportAllocs()
		for b.Loop() {
			hit()
		}
		b.StopTimer()
		if n := testing.AllocsPerRun(2000, hit); n > 0 {
			b.Errorf("%v allocations in a hit", n)
		}
	})
}
