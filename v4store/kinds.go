package v4store

// Item is the part of go-client.v4's VersionedData that a store needs: a flag, a segment, or a tombstone.
type Item interface {
	GetKey() string
	GetVersion() int
	IsDeleted() bool
}

// Kind is the part of go-client.v4's VersionedDataKind that a store needs.
type Kind[I Item] interface {
	comparable
	GetNamespace() string                      // "features" or "segments"
	GetDefaultItem() any                       // a pointer to a new item, to decode JSON into
	MakeDeletedItem(key string, version int) I // a tombstone
}

// FeatureStore has the methods of go-client.v4's FeatureStore, whose type arguments are ld.VersionedDataKind and
// ld.VersionedData. A Get of an item that is missing or deleted returns the zero I, which is nil for an interface, and
// no error. All omits deleted items.
type FeatureStore[K Kind[I], I Item] interface {
	Get(kind K, key string) (I, error)
	All(kind K) (map[string]I, error)
	Init(all map[K]map[string]I) error
	Delete(kind K, key string, version int) error
	Upsert(kind K, item I) error
	Initialized() bool
}
