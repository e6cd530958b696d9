// Package table reads, compares and writes the rows of one environment in a flag table. It does not import
// LaunchDarkly's server SDK: package layout below it has the attribute names and keys, and an item is a key, a
// version and JSON.
//
// A difference is computed by [Environment.Compare] and written by [Environment.Write]:
//
//	Compare:  for each kind, read its rows; put each item, and each row without an item, into one list
//	Write:    split the writes into transactions; send one after the other
//	          if a row changed meanwhile, read it again, and keep it or retry
//
// Anything can happen to the table between the two. So each write is conditional on the row that it was computed
// from, and a fencing token ([Environment.TakeToken]), which every transaction checks, orders whole payloads: an
// older payload can never overwrite a newer one. A change of up to 99 items is written completely or not at all.
package table
