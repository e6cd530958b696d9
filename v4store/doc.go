// Package v4store supports LaunchDarkly's go-client.v4 and aws-sdk-go v1. It uses the same DynamoDB table as
// [dynamostore] and the same messages as [cachedstore], and needs no change to either SDK.
//
// go-client.v4 is not imported. Its types are type parameters. With [ld.VersionedDataKind, ld.VersionedData], the
// returned stores implement ld.FeatureStore without a wrapper:
//
//	table := v4store.DynamoDB[ld.VersionedDataKind, ld.VersionedData]("my-flags")
//	cache := v4store.Cached(table, v4store.TTL(time.Minute))
//
//	config := ld.DefaultConfig
//	config.FeatureStore = cache
//	config.UseLdd = true // "daemon mode": read the table, never call LaunchDarkly for flags
//
// The same applies to its last releases under the name go-server-sdk.v4. docs/migrating.md explains how to adopt this
// package, how to share a table with newer SDKs, and how to migrate to them.
//
// The cache is a [change.Sink] and a [change.Waker]: deliver the messages of the stack's topic to it.
//
// [dynamostore]: https://pkg.go.dev/github.com/warmflags/warmflags/dynamostore [cachedstore]:
// https://pkg.go.dev/github.com/warmflags/warmflags/cachedstore
package v4store
