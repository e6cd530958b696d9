// Package table reads, compares and writes the rows of one environment in a flag table. An item is a key, a version
// and JSON; the package does not import LaunchDarkly's server SDK. Package layout has the attribute names and keys.
//
// A difference is computed by [Environment.Compare] and written by [Environment.Write]:
//
//	//	Compare:  for each kind, read its rows; put each item, and each row without an item, into one list
//	Write:    split the writes into transactions; send one after the other
//	          if a row changed meanwhile, read it again, and keep it or retry
//
// Other programs can change the table between the two. Therefore each write is conditional on the row that it was
// computed from. In addition, every transaction checks a fencing token ([Environment.TakeToken]), which orders whole
// payloads: an older payload never overwrites a newer one. A change of up to 99 items is written completely or not at
// all.
package table
