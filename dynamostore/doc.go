// Package dynamostore is LaunchDarkly's [subsystems.PersistentDataStore] on an Amazon DynamoDB table, on the schema
// of LaunchDarkly's own stores, so that any LaunchDarkly SDK or Relay Proxy can share the table:
//
//	config.DataStore = ldcomponents.PersistentDataStore(dynamostore.DataStore("flags").Prefix("production"))
//
// Unlike LaunchDarkly's store it writes only what differs. [Store.Init] reads the table and writes the difference in
// transactions: an unchanged environment costs no write, a change of up to 99 items is written completely or not at
// all, and each write is conditional on the row as it was read, so a newer item that another program wrote meanwhile
// survives. Rows that flagsync wrote as LaunchDarkly sent them count as equal if LaunchDarkly's SDK makes the same
// item of them.
//
// Reads are strongly consistent. Nothing is cached: a cache belongs above the store. Only Init and Upsert write.
//
// [BigSegmentStore] reads LaunchDarkly's big segments from the same table, where the Relay Proxy keeps them.
//
// A table that is created by hand has the partition key "namespace" and the sort key "key", both strings.
package dynamostore
