package benchmarks

import (
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
)

// Wrapper is LaunchDarkly's own cache over a persistent store. In daemon mode it reads again only after the TTL.
var Wrapper = Rival{Name: "launchdarkly", Open: func(tb testing.TB, table *Table, ttl time.Duration) Cache {
	store, err := ldcomponents.PersistentDataStore(table).CacheTime(ttl).Build(silent())
	if err != nil {
		tb.Fatal(err)
	}
	return Cache{DataStore: store}
}}
