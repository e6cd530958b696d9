package benchmarks

import (
	"context"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/maypok86/otter/v2"
)

// Otter is maypok86/otter v2 as its documents show it: loading, expiry after a write, without a size limit.
var Otter = Rival{Name: "otter", Open: func(_ testing.TB, table *Table, ttl time.Duration) Cache {
	c := &otterCache{}
	for _, kind := range []ldstoretypes.DataKind{features, segments} {
		*c.kinds.of(kind) = otterKind{
			items: otter.Must(&otter.Options[string, ldstoretypes.ItemDescriptor]{
				ExpiryCalculator: otter.ExpiryWriting[string, ldstoretypes.ItemDescriptor](ttl),
			}),
			all: otter.Must(&otter.Options[string, []ldstoretypes.KeyedItemDescriptor]{
				ExpiryCalculator: otter.ExpiryWriting[string, []ldstoretypes.KeyedItemDescriptor](ttl),
			}),
			load: otter.LoaderFunc[string, ldstoretypes.ItemDescriptor](
				func(_ context.Context, key string) (ldstoretypes.ItemDescriptor, error) {
					return load(table, kind, key)
				}),
			loadAll: otter.LoaderFunc[string, []ldstoretypes.KeyedItemDescriptor](
				func(context.Context, string) ([]ldstoretypes.KeyedItemDescriptor, error) {
					return loadAll(table, kind)
				},
			),
		}
	}
	return Cache{c, c.invalidate}
}}

type otterCache struct {
	readOnly
	kinds perKind[otterKind]
}

type otterKind struct {
	items   *otter.Cache[string, ldstoretypes.ItemDescriptor]
	all     *otter.Cache[string, []ldstoretypes.KeyedItemDescriptor]
	load    otter.Loader[string, ldstoretypes.ItemDescriptor]
	loadAll otter.Loader[string, []ldstoretypes.KeyedItemDescriptor]
}

func (c *otterCache) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	k := c.kinds.of(kind)
	return k.items.Get(context.Background(), key, k.load)
}

func (c *otterCache) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedItemDescriptor, error) {
	k := c.kinds.of(kind)
	return k.all.Get(context.Background(), allKey, k.loadAll)
}

func (c *otterCache) invalidate(kind ldstoretypes.DataKind, key string) {
	k := c.kinds.of(kind)
	k.items.Invalidate(key)
	k.all.Invalidate(allKey)
}

func (c *otterCache) Close() error {
	for _, k := range []otterKind{c.kinds.features, c.kinds.segments} {
		k.items.StopAllGoroutines()
		k.all.StopAllGoroutines()
	}
	return nil
}
