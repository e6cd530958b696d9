package benchmarks

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// BareMap is the limit: a map behind an atomic pointer, filled once. It never expires and never reads.
var BareMap = Rival{Name: "bare-map", Fixed: true, Open: func(tb testing.TB, table *Table, _ time.Duration) Cache {
	m := &bareMap{}
	for _, kind := range []ldstoretypes.DataKind{features, segments} {
		items, err := loadAll(table, kind)
		if err != nil {
			tb.Fatal(fmt.Errorf("fill the bare map: %w", err))
		}
		byKey := make(map[string]ldstoretypes.ItemDescriptor, len(items))
		for _, item := range items {
			byKey[item.Key] = item.Item
		}
		m.items.of(kind).Store(&byKey)
		m.all.of(kind).Store(&items)
	}
	return Cache{DataStore: m}
}}

type bareMap struct {
	readOnly
	items perKind[atomic.Pointer[map[string]ldstoretypes.ItemDescriptor]]
	all   perKind[atomic.Pointer[[]ldstoretypes.KeyedItemDescriptor]]
}

func (m *bareMap) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	if item, ok := (*m.items.of(kind).Load())[key]; ok {
		return item, nil
	}
	return ldstoretypes.ItemDescriptor{}.NotFound(), nil
}

func (m *bareMap) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedItemDescriptor, error) {
	return *m.all.of(kind).Load(), nil
}
