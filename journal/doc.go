// Package journal keeps the latest changes of a flag table in one small item of that table, for readers that
// nothing can push to: SNS cannot reach a particular warm Lambda container, and a frozen one can poll nothing.
//
// streamhandler writes the journal after it published, with a [Writer]. A Lambda function reads it when an
// invocation begins, at most about once a second, with a [Follower], for half a read unit:
//
//	store := cachedstore.New(dynamostore.DataStore("flags").Client(db))
//	follower := journal.Follow("flags", store, journal.Client(db))
//	...
//	lambda.Start(journal.Wrap(follower, handle))
//
// # What a follower promises
//
//   - What stood in the journal when a look at it began is fresh in the sink when the look ends. A look is good for
//     the interval, counted from its beginning by the wall clock and by the monotonic one (which stops while a
//     container is frozen). So when an invocation begins, its flags are at most the interval, and the lag of the
//     replica that answers, older than the journal, as long as the journal can be read within the budget; otherwise
//     the sink's own TTL is the limit. Looks are eventually consistent: the lag is normally well under a second.
//   - It invalidates exactly what changed since the look before; everything at its first look, when the
//     journal's epoch is another, and when it fell behind, which means that the journal no longer holds all
//     that it missed. A repeated or late answer of an old replica changes nothing.
//   - A look that takes longer than the budget goes on beside the invocation, and is given up when that ends, unless
//     a call of [Follower.Refresh] still waits for it, as the one beside the client's start may.
//   - A table without a journal costs a read an interval, and one line in the log.
//
// # The item
//
// There is one journal for each prefix and region (each region of a global table writes and reads its own), in one
// or more copies that are written alike in one transaction, so that more than about 6,000 looks a second can be
// spread over as many partitions, once DynamoDB has split the table so far. The table's limits, such as a quota of
// 40,000 read units a second, hold for all copies together. Namespace and key are both
// "[prefix:]$journal/<region>/<copy>", and:
//
//	epoch    S  random, made with the item; another one means that anything may have changed
//	seq      N  how many changes were appended in this epoch
//	entries  S  a JSON array of the latest of them, oldest first: n the key, k the kind where it is not features, v the
//	            version where it is known, d true where the item is deleted
//
// All of it takes at most 4 KB. It has no attribute "item", so the table's stream does not invoke streamhandler for it.
//
// File row.go is the item, writer.go appends to it, follower.go reads it, lambda.go joins that to invocations.
package journal
