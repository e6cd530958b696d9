package benchmarks_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/benchmarks"
)

// readers returns the rivals that read the table again.
func readers() []benchmarks.Rival {
	return slices.DeleteFunc(benchmarks.Rivals(), func(r benchmarks.Rival) bool { return r.Fixed })
}

// BenchmarkInvalidate1Percent is BenchmarkGet with a message about a key before every hundredth Get.
func BenchmarkInvalidate1Percent(b *testing.B) {
	each(b, func(b *testing.B, cache benchmarks.Cache) {
		if cache.Invalidate == nil {
			b.Skip("cannot invalidate")
		}
		store, rotation, i, n := cache.DataStore, benchmarks.Rotation(), 0, 0
		for b.Loop() {
			ref := &rotation[i]
			if i++; i == len(rotation) {
				i = 0
			}
			if n++; n == 100 {
				n = 0
				ref = &rotation[(i*7)%len(rotation)]
				cache.Invalidate(ref.Kind, ref.Key)
			}
			if item, _ := store.Get(ref.Kind, ref.Key); item.Version != 1 {
				b.Fatal(item)
			}
		}
	})
}

// BenchmarkMiss is the first Get of each key, with the parsing of its JSON, over a table that answers at once.
func BenchmarkMiss(b *testing.B) {
	for _, r := range readers() {
		b.Run(r.Name, func(b *testing.B) {
			table, rotation := benchmarks.NewTable(0), benchmarks.Rotation()
			b.ReportAllocs()
			var cache benchmarks.Cache
			for i := 0; b.Loop(); i++ {
				if i%len(rotation) == 0 {
					b.StopTimer()
					if i > 0 {
						require.NoError(b, cache.Close())
					}
					cache = r.Open(b, table, benchmarks.TTL)
					b.StartTimer()
				}
				ref := &rotation[i%len(rotation)]
				if item, _ := cache.Get(ref.Kind, ref.Key); item.Version != 1 {
					b.Fatal(item)
				}
			}
			require.NoError(b, cache.Close())
		})
	}
}

// stormTTL leaves RefreshAhead time: its last tenth is longer than the 200 ms by which the sweeper removes values
// early, its interval and the spread of refreshes.
const stormTTL = 5 * time.Second

// BenchmarkStormOnce lets one key expire that 64 goroutines read every 2 ms, over a table that takes 5 ms, and reports
// the number of reads and the longest wait of each goroutine.
func BenchmarkStormOnce(b *testing.B) {
	for _, r := range append(readers(), benchmarks.Ahead) {
		b.Run(r.Name, func(b *testing.B) {
			var reads int
			var waits []time.Duration
			for range b.N {
				n, w := storm(b, r)
				reads, waits = reads+n, append(waits, w...)
			}
			slices.Sort(waits)
			b.ReportMetric(float64(reads)/float64(b.N), "reads/op")
			b.ReportMetric(float64(waits[len(waits)/2].Nanoseconds()), "p50-wait-ns")
			b.ReportMetric(float64(waits[len(waits)*99/100].Nanoseconds()), "p99-wait-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func storm(b *testing.B, r benchmarks.Rival) (reads int, waits []time.Duration) {
	table, features := benchmarks.NewTable(5*time.Millisecond), ldstoreimpl.Features()
	cache := r.NewCache(b, table, stormTTL)
	begin := time.Now()
	_, err := cache.Get(features, benchmarks.FlagKey(0))
	require.NoError(b, err)
	time.Sleep(time.Until(begin.Add(stormTTL - 50*time.Millisecond)))
	end := begin.Add(stormTTL + 150*time.Millisecond)
	waits = make([]time.Duration, 64)
	var all sync.WaitGroup
	for g := range waits {
		all.Go(func() {
			for time.Now().Before(end) {
				asked := time.Now()
				if _, err := cache.Get(features, benchmarks.FlagKey(0)); err != nil {
					b.Error(err)
				}
				waits[g] = max(waits[g], time.Since(asked))
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	all.Wait()
	items, _ := table.Reads()
	return items - 1, waits
}

// BenchmarkChangeOnce changes one of 500 flags, invalidates it in the caches that can be invalidated, waits for the TTL
// of the others, and reports the reads of AllFlagsState until a second later.
func BenchmarkChangeOnce(b *testing.B) {
	for _, r := range readers() {
		b.Run(r.Name, func(b *testing.B) {
			features, ttl := ldstoreimpl.Features(), 2*time.Second
			var items, queries int
			for i := range b.N {
				table := benchmarks.NewTable(0)
				cache := r.Open(b, table, ttl)
				client := newClient(b, cache)
				require.True(b, client.AllFlagsState(benchmarks.User()).IsValid())
				i0, q0 := table.Reads()
				table.PutFlag(7, 2+i)
				if cache.Invalidate != nil {
					cache.Invalidate(features, benchmarks.FlagKey(7))
				} else {
					time.Sleep(ttl + 100*time.Millisecond)
				}
				all, err := cache.GetAll(features)
				require.NoError(b, err)
				require.True(b, slices.ContainsFunc(all, isVersion(benchmarks.FlagKey(7), 2+i)))
				require.True(b, client.AllFlagsState(benchmarks.User()).IsValid())
				time.Sleep(time.Second)
				i1, q1 := table.Reads()
				items, queries = items+i1-i0, queries+q1-q0
			}
			b.ReportMetric(float64(items)/float64(b.N), "GetItem/op")
			b.ReportMetric(float64(queries)/float64(b.N), "Query/op")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMemoryOnce reports the heap's growth for each of 500 flags: read one by one, as a whole, and both.
func BenchmarkMemoryOnce(b *testing.B) {
	keys := make([]string, benchmarks.FlagCount)
	for i := range keys {
		keys[i] = benchmarks.FlagKey(i)
	}
	for _, r := range benchmarks.Rivals() {
		for _, way := range []struct {
			name        string
			each, whole bool
		}{{"Get", true, false}, {"GetAll", false, true}, {"both", true, true}} {
			b.Run(way.name+"/"+r.Name, func(b *testing.B) {
				table, features := benchmarks.NewTable(0), ldstoreimpl.Features()
				before := heap()
				cache := r.NewCache(b, table, benchmarks.TTL)
				for _, key := range keys {
					if way.each {
						_, err := cache.Get(features, key)
						require.NoError(b, err)
					}
				}
				if way.whole {
					_, err := cache.GetAll(features)
					require.NoError(b, err)
				}
				b.ReportMetric(float64(heap()-before)/benchmarks.FlagCount, "B/flag")
				b.ReportMetric(0, "ns/op")
				runtime.KeepAlive(table)
				_, err := cache.Get(features, keys[0]) // keeps the cache alive until here
				require.NoError(b, err)
			})
		}
	}
}
