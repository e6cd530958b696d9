package warmflags_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/cachedstore"
)

// Preload reads each kind once: it waits for the first poll of the journal, which invalidates everything.
func TestPreloadIsPaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t)
		s.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "GetItem" {
				<-time.After(time.Second) // the journal is slower than the client's start
			}
			return nil
		})
		before := s.Calls("Query")
		flags := s.open(warmflags.Cache(cachedstore.TTL(day), cachedstore.Preload()))
		defer flags.Close(t.Context())
		synctest.Wait()
		require.False(t, evaluate(t, flags))
		_ = flags.Client.AllFlagsState(user)
		synctest.Wait()
		require.Equal(t, len(ldstoreimpl.AllKinds()), s.Calls("Query")-before, "one for each kind")
	})
}

// countedStore counts the client's reads of flags.
type countedStore struct {
	subsystems.DataStore
	gets *atomic.Int64
}

func (c countedStore) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	c.gets.Add(1)
	return c.DataStore.Get(kind, key)
}

func TestWrapDataStore(t *testing.T) {
	for _, lambda := range []bool{false, true} {
		t.Run(fmt.Sprint("lambda ", lambda), func(t *testing.T) {
			if lambda {
				asLambda(t)
			}
			s, gets := newStack(t), new(atomic.Int64)
			flags := s.open(warmflags.WrapDataStore(func(store subsystems.DataStore) subsystems.DataStore {
				return countedStore{store, gets}
			}))
			defer flags.Close(t.Context())
			require.False(t, evaluate(t, flags))
			require.EqualValues(t, 1, gets.Load())
		})
	}
}
