package benchmarks_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/benchmarks"
)

// each runs f once for each rival, over a full table and a cache that has read it all.
func each(b *testing.B, f func(b *testing.B, cache benchmarks.Cache)) {
	for _, r := range benchmarks.Rivals() {
		b.Run(r.Name, func(b *testing.B) {
			cache := r.NewCache(b, benchmarks.NewTable(0), benchmarks.TTL)
			fill(b, cache)
			b.ReportAllocs()
			f(b, cache)
		})
	}
}

// fill reads every key, and then each kind as a whole.
func fill(tb testing.TB, cache benchmarks.Cache) {
	for _, ref := range benchmarks.Rotation() {
		item, err := cache.Get(ref.Kind, ref.Key)
		require.NoError(tb, err)
		require.Equal(tb, 1, item.Version)
	}
	flags, err := cache.GetAll(ldstoreimpl.Features())
	require.NoError(tb, err)
	require.Len(tb, flags, benchmarks.FlagCount)
	_, err = cache.GetAll(ldstoreimpl.Segments())
	require.NoError(tb, err)
}

func BenchmarkGet(b *testing.B) {
	each(b, func(b *testing.B, cache benchmarks.Cache) {
		store, rotation, i := cache.DataStore, benchmarks.Rotation(), 0
		for b.Loop() {
			ref := &rotation[i]
			if i++; i == len(rotation) {
				i = 0
			}
			if item, _ := store.Get(ref.Kind, ref.Key); item.Version != 1 {
				b.Fatal(item)
			}
		}
	})
}

func BenchmarkGetParallel(b *testing.B) {
	each(b, func(b *testing.B, cache benchmarks.Cache) {
		store, rotation := cache.DataStore, benchmarks.Rotation()
		var begin atomic.Int64
		b.ResetTimer() // exclude the setup
		b.RunParallel(func(pb *testing.PB) {
			i := int(begin.Add(1)) * 100 % len(rotation)
			for pb.Next() {
				ref := &rotation[i]
				if i++; i == len(rotation) {
					i = 0
				}
				if item, _ := store.Get(ref.Kind, ref.Key); item.Version != 1 {
					b.Error(item)
				}
			}
		})
	})
}

func BenchmarkGetAll(b *testing.B) {
	each(b, func(b *testing.B, cache benchmarks.Cache) {
		store, features := cache.DataStore, ldstoreimpl.Features()
		for b.Loop() {
			if items, _ := store.GetAll(features); len(items) != benchmarks.FlagCount {
				b.Fatal(len(items))
			}
		}
	})
}

// newClient makes a client in daemon mode, without events.
func newClient(tb testing.TB, cache benchmarks.Cache) *ld.LDClient {
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{
		DataStore: cache, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.NoLogging(), DiagnosticOptOut: true,
	}, 0)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	return client
}

// eachClient runs f once for each rival, through a real client.
func eachClient(b *testing.B, f func(b *testing.B, client *ld.LDClient)) {
	for _, r := range benchmarks.Rivals() {
		b.Run(r.Name, func(b *testing.B) {
			cache := r.Open(b, benchmarks.NewTable(0), benchmarks.TTL)
			fill(b, cache)
			client := newClient(b, cache)
			b.ReportAllocs()
			f(b, client)
		})
	}
}

func BenchmarkBoolVariation(b *testing.B) {
	eachClient(b, func(b *testing.B, client *ld.LDClient) {
		var keys []string
		for i := range benchmarks.FlagCount {
			keys = append(keys, benchmarks.FlagKey(i))
		}
		user, i := benchmarks.User(), 0
		for b.Loop() {
			if on, err := client.BoolVariation(keys[i], user, false); !on || err != nil {
				b.Fatal(keys[i], on, err)
			}
			if i++; i == len(keys) {
				i = 0
			}
		}
	})
}

func BenchmarkAllFlagsState(b *testing.B) {
	eachClient(b, func(b *testing.B, client *ld.LDClient) {
		user := benchmarks.User()
		for b.Loop() {
			if !client.AllFlagsState(user).IsValid() {
				b.Fatal("not valid")
			}
		}
	})
}

// isVersion reports whether the item was found and has the version.
func isVersion(key string, version int) func(ldstoretypes.KeyedItemDescriptor) bool {
	return func(item ldstoretypes.KeyedItemDescriptor) bool {
		return item.Key == key && item.Item.Version == version
	}
}

// heap returns the size of the live heap in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
