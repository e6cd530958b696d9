// Package dynamostore is LaunchDarkly's [subsystems.PersistentDataStore] on an Amazon DynamoDB table, on the
// schema of LaunchDarkly's own stores, so that any LaunchDarkly SDK or Relay Proxy can share the table:
//
//	config.DataStore = ldcomponents.PersistentDataStore(dynamostore.DataStore("flags").Prefix("production"))
//
// Unlike LaunchDarkly's store it writes only what differs. [Store.Init] is [Store.Compare], which reads, and
// [Store.Write], which writes the difference in transactions: an unchanged environment costs no write, a change
// of up to 99 items is made whole or not at all, and each write is conditional on the row as it was read, so a
// newer item that somebody else wrote meanwhile survives. Programs that sync a table, such as flagsync, use
// the two directly and add a fence ([Store.TakeFence]): it orders whole payloads, so that an older one can
// never undo a newer one.
//
// Reads are strongly consistent. Nothing is cached: a cache belongs above the store. Nothing writes but Init,
// Upsert, Write and TakeFence.
//
// [BigSegmentStore] reads LaunchDarkly's big segments from the same table, where the Relay Proxy keeps them.
//
// A table that is made by hand has the partition key "namespace" and the sort key "key", both strings.
package dynamostore
