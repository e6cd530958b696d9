package benchmarks

import (
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/patrickmn/go-cache"
)

// GoCache is patrickmn/go-cache as a team would use it: one for each kind, filled by the caller that misses.
var GoCache = Rival{Name: "go-cache", Open: func(_ testing.TB, table *Table, ttl time.Duration) Cache {
	c := &goCache{table: table}
	for _, kind := range []ldstoretypes.DataKind{features, segments} {
		*c.items.of(kind) = cache.New(ttl, 5*time.Minute)
	}
	return Cache{c, c.invalidate}
}}

type goCache struct {
	readOnly
	table *Table
	items perKind[*cache.Cache]
}

func (c *goCache) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	items := *c.items.of(kind)
	if found, ok := items.Get(key); ok {
		return found.(ldstoretypes.ItemDescriptor), nil
	}
	item, err := load(c.table, kind, key)
	if err == nil {
		items.SetDefault(key, item)
	}
	return item, err
}

const allKey = "" // no flag has this key

func (c *goCache) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedItemDescriptor, error) {
	items := *c.items.of(kind)
	if found, ok := items.Get(allKey); ok {
		return found.([]ldstoretypes.KeyedItemDescriptor), nil
	}
	all, err := loadAll(c.table, kind)
	if err == nil {
		items.SetDefault(allKey, all)
	}
	return all, err
}

func (c *goCache) invalidate(kind ldstoretypes.DataKind, key string) {
	items := *c.items.of(kind)
	items.Delete(key)
	items.Delete(allKey)
}
