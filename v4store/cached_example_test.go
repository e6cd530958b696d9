package v4store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// A cache over any store of go-client.v4. A source of changes, such as subscriber.Queue, delivers to it.
func ExampleCached() {
	table := newMemory(new(testing.T)) // v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("my-flags")
	table.put("checkout", 7)
	cache := v4store.Cached(ld.FeatureStore(table), v4store.TTL(time.Hour))

	flag, err := cache.Get(ld.Features, "checkout")
	fmt.Println(flag.GetVersion(), err)

	table.put("checkout", 8) // by another process; the stack publishes a message
	cache.Invalidate(change.Change{Kind: change.KindFeatures, Key: "checkout", Version: 8})
	flag, err = cache.Get(ld.Features, "checkout")
	fmt.Println(flag.GetVersion(), err)
	// Output:
	// 7 <nil>
	// 8 <nil>
}
