// Package dynamostore implements LaunchDarkly's [subsystems.PersistentDataStore] on an Amazon DynamoDB table. It uses
// the schema of LaunchDarkly's own stores, so that every LaunchDarkly SDK and the Relay Proxy can share the table:
//
//	config.DataStore = ldcomponents.PersistentDataStore(dynamostore.DataStore("flags").Prefix("production"))
//
// Unlike LaunchDarkly's store, it writes only what differs. [Store.Init] reads the table and writes the difference in
// transactions. An unchanged environment costs no write, and a change of up to 99 items is written completely or not
// at all. Each write is conditional on the row as it was read, so that Init does not overwrite a newer item that
// another program wrote in the meantime. Rows that flagsync wrote as LaunchDarkly sent them count as equal if
// LaunchDarkly's SDK parses them to the same item.
//
// Reads are strongly consistent. The store caches nothing; use it below a cache, such as package cachedstore. Only
// Init and Upsert write.
//
// [BigSegmentStore] reads LaunchDarkly's big segments from the same table, where the Relay Proxy keeps them.
//
// A table that you create yourself needs the partition key "namespace" and the sort key "key", both strings.
package dynamostore
