package benchmarks_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/puzpuzpuz/xsync/v4"

	"github.com/warmflags/warmflags/benchmarks"
)

// place is what a key leads to: a value that can be taken away.
type place struct {
	fresh atomic.Pointer[ldstoretypes.ItemDescriptor]
}

// BenchmarkKeyMap compares maps from keys to places that can be read without a lock, apart from any cache: what
// cachedstore's own was chosen among. "copy" is a map behind an atomic pointer that writers copy.
func BenchmarkKeyMap(b *testing.B) {
	var plain sync.Map
	quick, copied := xsync.NewMap[string, *place](), map[string]*place{}
	var pointer atomic.Pointer[map[string]*place]
	for i := range benchmarks.FlagCount {
		p := &place{}
		p.fresh.Store(&ldstoretypes.ItemDescriptor{Version: 1})
		plain.Store(benchmarks.FlagKey(i), p)
		quick.Store(benchmarks.FlagKey(i), p)
		copied[benchmarks.FlagKey(i)] = p
	}
	pointer.Store(&copied)
	for _, m := range []struct {
		name string
		get  func(key string) *place
	}{
		{"copy", func(key string) *place { return (*pointer.Load())[key] }},
		{"sync.Map", func(key string) *place {
			found, _ := plain.Load(key)
			p, _ := found.(*place)
			return p
		}},
		{"xsync", func(key string) *place {
			p, _ := quick.Load(key)
			return p
		}},
	} {
		var keys []string
		for i := range benchmarks.FlagCount {
			keys = append(keys, benchmarks.FlagKey(i))
		}
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); {
				if m.get(keys[i]).fresh.Load().Version != 1 {
					b.Fatal(keys[i])
				}
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
}
