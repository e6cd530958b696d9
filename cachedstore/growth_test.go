package cachedstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
)

// BenchmarkGrowth shows that the cost per key does not grow with the number of keys. The times of a sweep, a GetAll and
// a first GetAll are divided by the number of flags.
func BenchmarkGrowth(b *testing.B) {
	for _, n := range []int{500, 5_000, 50_000} {
		x := newTable(b)
		for i := range n {
			x.put(fmt.Sprint("flag", i), 1)
		}
		open := func(b *testing.B, opts ...cachedstore.Option) (*cachedstore.Store, subsystems.DataStore) {
			opts = append([]cachedstore.Option{
				cachedstore.TTL(time.Hour), cachedstore.InLambda(true), cachedstore.Sizes(25, 1<<30),
			}, opts...)
			store := cachedstore.New(x, opts...)
			client, err := store.Build(subsystems.BasicClientContext{
				Logging: subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()},
			})
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, client.Close()) })
			return store, client
		}
		get := func(b *testing.B, client subsystems.DataStore, key string) {
			if _, err := client.Get(features, key); err != nil {
				b.Fatal(err)
			}
		}
		whole := func(b *testing.B, client subsystems.DataStore) {
			if _, err := client.GetAll(features); err != nil {
				b.Fatal(err)
			}
		}
		perKey := func(b *testing.B, steps int) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(steps), "ns/key")
			b.ReportMetric(0, "ns/op")
		}
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprint("flag", i)
		}
		run := func(name string, f func(b *testing.B)) { b.Run(fmt.Sprintf("%s/%d", name, n), f) }
		run("hit", func(b *testing.B) {
			store, client := open(b, cachedstore.Preload())
			store.Wake()
			for i := 0; b.Loop(); i++ {
				get(b, client, keys[i%n])
			}
			perKey(b, b.N)
		})
		run("first-get", func(b *testing.B) {
			steps := 0
			for b.Loop() {
				_, client := open(b)
				for _, key := range keys {
					get(b, client, key)
				}
				steps += n
			}
			perKey(b, steps)
		})
		run("unknown-key", func(b *testing.B) {
			_, client := open(b, cachedstore.Preload())
			i := 0
			for b.Loop() {
				i++
				get(b, client, fmt.Sprint("unknown", i))
			}
			perKey(b, i)
		})
		run("getall", func(b *testing.B) {
			steps := 0
			for b.Loop() {
				_, client := open(b)
				whole(b, client)
				steps += n
			}
			perKey(b, steps)
		})
		run("sweep", func(b *testing.B) {
			store, client := open(b, cachedstore.Preload())
			whole(b, client)
			steps := 0
			for b.Loop() {
				store.Sweep()
				steps += n
			}
			perKey(b, steps)
		})
		run("invalidation", func(b *testing.B) {
			store, _ := open(b, cachedstore.Preload())
			i := 0
			for b.Loop() {
				store.Invalidate(change.Change{Kind: change.KindFeatures, Key: keys[i%n]})
				i++
			}
			perKey(b, i)
		})
	}
}
