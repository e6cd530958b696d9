package v4store_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// odd is an inner store that returns nil pointers and panics.
type odd struct {
	ld.FeatureStore // panics
	item            ld.VersionedData
	reads           int
}

func (o *odd) Get(ld.VersionedDataKind, string) (ld.VersionedData, error) {
	o.reads++
	return o.item, nil
}

func (o *odd) All(ld.VersionedDataKind) (map[string]ld.VersionedData, error) {
	return map[string]ld.VersionedData{"none": o.item, "flag": &ld.Flag{Key: "flag", Version: 1}}, nil
}

func (o *odd) Init(map[ld.VersionedDataKind]map[string]ld.VersionedData) error { return nil }

func TestANilItemIsAMissingItem(t *testing.T) {
	for name, item := range map[string]ld.VersionedData{"nil": nil, "a nil pointer": (*ld.Flag)(nil)} {
		t.Run(name, func(t *testing.T) {
			cache := v4store.Cached[ld.VersionedDataKind, ld.VersionedData](&odd{item: item})
			got, err := cache.Get(ld.Features, "none")
			require.NoError(t, err)
			assert.Nil(t, got)
			all, err := cache.All(ld.Features)
			require.NoError(t, err)
			assert.Equal(t, map[string]ld.VersionedData{"flag": &ld.Flag{Key: "flag", Version: 1}}, all)
		})
	}
}

func TestAfterInitTheCacheIsInitialized(t *testing.T) {
	cache := v4store.Cached[ld.VersionedDataKind, ld.VersionedData](&odd{})
	assert.False(t, cache.Initialized(), "a panic means false")
	require.NoError(t, cache.Init(nil))
	assert.True(t, cache.Initialized(), "at once")
}

func TestTheLongestTTL(t *testing.T) {
	inner := &odd{item: &ld.Flag{Key: "flag", Version: 1}}
	cache := v4store.Cached[ld.VersionedDataKind, ld.VersionedData](inner, v4store.TTL(time.Duration(math.MaxInt64)))
	for range 3 {
		_, err := cache.Get(ld.Features, "flag")
		require.NoError(t, err)
	}
	assert.Equal(t, 1, inner.reads)
}
