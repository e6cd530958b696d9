package test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
)

var features, segments = ldstoreimpl.Features(), ldstoreimpl.Segments()

var names atomic.Int64 // number of names so far

// uniqueName returns a name for a table, topic or queue that no other test uses. The emulators keep them between tests.
func uniqueName(t *testing.T) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%d-%s", names.Add(1), name[:min(len(name), 60)])
}

// item returns a flag or segment.
func item(key string, version int) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{
		Version:        version,
		SerializedItem: fmt.Appendf(nil, `{"key":%q,"version":%d,"salt":"s"}`, key, version),
	}
}

// tombstone returns a deleted item, as LaunchDarkly's SDK serializes it.
func tombstone(version int) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{
		Version:        version,
		Deleted:        true,
		SerializedItem: features.Serialize(st.ItemDescriptor{Version: version}),
	}
}

// environment returns flags, from "key:version" words, and a segment "s".
func environment(flags ...string) []st.SerializedCollection {
	all := []st.SerializedCollection{
		{Kind: segments, Items: []st.KeyedSerializedItemDescriptor{{Key: "s", Item: item("s", 1)}}},
		{Kind: features},
	}
	for _, f := range flags {
		key, number, _ := strings.Cut(f, ":")
		var version int
		_, _ = fmt.Sscan(number, &version)
		all[1].Items = append(all[1].Items, st.KeyedSerializedItemDescriptor{Key: key, Item: item(key, version)})
	}
	return all
}

// read returns a store's flags: the version by key, such as "7", or "7 deleted" for a tombstone.
func read(t *testing.T, s *dynamostore.Store) map[string]string {
	t.Helper()
	items, err := s.GetAll(features)
	require.NoError(t, err)
	flags := map[string]string{}
	for _, i := range items {
		parsed, err := features.Deserialize(i.Item.SerializedItem)
		require.NoError(t, err)
		flags[i.Key] = fmt.Sprint(i.Item.Version)
		if parsed.Item == nil {
			flags[i.Key] += " deleted"
		}
	}
	return flags
}

// runToTheEnd runs run until the test ends, which waits for it to return.
func runToTheEnd(ctx context.Context, t *testing.T, what string, run func(context.Context) error) {
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	running.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", what, err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

// waitFor waits until done is closed; it fails the test after patience.
func waitFor(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	receive(t, done, what)
}

// receive receives a value; it fails the test after patience.
func receive[T any](t *testing.T, from <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		require.FailNow(t, fmt.Sprintf("no %s after %v", what, patience))
	}
	return got
}
