// Package v4store serves LaunchDarkly's go-client.v4 and aws-sdk-go v1: the same DynamoDB table as [dynamostore], and the
// same messages as [cachedstore], without changing either SDK.
//
// go-client.v4 is not imported. Its types come in as type parameters, so that what is returned for
// [ld.VersionedDataKind, ld.VersionedData] is an ld.FeatureStore, without a wrapper:
//
//	table := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("my-flags")
//	cache := v4store.Cached(table, v4store.TTL(time.Minute))
//
//	config := ld.DefaultConfig
//	config.FeatureStore = cache
//	config.UseLdd = true // "daemon mode": read the table, never call LaunchDarkly for flags
//
// The same goes for its last releases under the name go-server-sdk.v4. What it takes to get here, to share a table with
// newer SDKs, and to go on to them, is in docs/migrating.md.
//
// The cache is a [change.Sink] and a [change.Waker]: deliver the messages of the stack's topic to it.
//
// [dynamostore]: https://pkg.go.dev/github.com/warmflags/warmflags/dynamostore
// [cachedstore]: https://pkg.go.dev/github.com/warmflags/warmflags/cachedstore
package v4store
