package benchmarks

import (
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
)

// Warmflags is cachedstore in a service, without options.
var Warmflags = ours("warmflags", false, false)

// Ahead is cachedstore with RefreshAhead.
var Ahead = ours("warmflags-ahead", false, false, cachedstore.RefreshAhead())

// Ours is cachedstore in each of its ways to keep time.
func Ours() []Rival {
	return []Rival{
		Warmflags,
		ours("warmflags-strict", false, false, cachedstore.StrictClock()),
		ours("warmflags-lambda", true, false),
		ours("warmflags-lambda-wake", true, true),
	}
}

func ours(name string, lambda, wake bool, opts ...cachedstore.Option) Rival {
	return Rival{Name: name, Open: func(tb testing.TB, table *Table, ttl time.Duration) Cache {
		store := newStore(tb, lambda, table, append(opts, cachedstore.TTL(ttl))...)
		client, err := store.Build(silent())
		if err != nil {
			tb.Fatal(err)
		}
		if wake {
			store.Wake()
		}
		return Cache{client, func(kind ldstoretypes.DataKind, key string) {
			store.Invalidate(change.Change{Kind: kind.GetName(), Key: key})
		}}
	}}
}

// newStore makes a store as it is in a Lambda function or as it is elsewhere, independent of where this runs.
func newStore(tb testing.TB, lambda bool, table *Table, opts ...cachedstore.Option) *cachedstore.Store {
	return cachedstore.New(table, append(opts, cachedstore.InLambda(lambda))...)
}
