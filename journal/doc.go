// Package journal keeps the latest changes of a flag table in one small item of that table, for processes to which no
// message can be sent: SNS cannot address one warm Lambda container, and a frozen container cannot receive anything.
//
// After streamhandler has published changes, it writes them to the journal with a [Writer]. Processes poll the journal
// with a [Follower]. A poll costs half a read unit. A Lambda function polls when an invocation begins, at most about
// once a second:
//
//	store := cachedstore.New(dynamostore.DataStore("flags").Client(db))
//	follower := journal.Follow("flags", store, journal.Client(db))
//	...
//	lambda.Start(journal.Wrap(follower, handle))
//
// A service polls on a timer:
//
//	go follower.Run(ctx)
//
// # What a follower promises
//
//   - When a poll ends, the sink has received every change that was in the journal when the poll began. The result of a
//     poll is reused for one interval, measured from the beginning of the poll by the wall clock and by the monotonic
//     clock (which stops while a container is frozen); the clock that advances more decides. So if the journal can be
//     read within the budget, the flags of an invocation are older than the journal by at most the interval plus the
//     lag of the replica that answers. Otherwise the sink's own TTL is the limit. Polls are eventually consistent: the
//     lag is normally well under a second.
//   - It invalidates exactly what changed since the previous poll. It invalidates everything at its first poll, when
//     the journal has a new epoch, when the journal no longer holds every change since the previous poll, and when
//     the journal went back in time or has another history because the table was restored. An answer from an outdated
//     replica invalidates nothing.
//   - A poll that takes longer than the budget continues during the invocation and after it. At least one of several
//     polls always completes, however slow the table is and however invocations overlap.
//   - A table without a journal costs one read in each interval, and one log line.
//
// # The item
//
// There is one journal for each prefix and region; each region of a global table writes and reads its own. A journal
// has one or more identical copies, which are written in one transaction. Copies are for more than about 6,000 polls a
// second: they spread the reads over as many partitions, once DynamoDB has split the table that far. The table's
// limits, such as a quota of 40,000 read units a second, apply to all copies together. Namespace and key are both
// "[prefix:]$journal/<region>/<copy>". The other attributes are:
//
//	epoch    S  random, created with the item; a new epoch means that anything may have changed
//	seq      N  how many changes were appended in this epoch
//	entries  S  a JSON array of the latest of these changes, oldest first: n is the key, k the kind unless it is
//	            features, v the version if it is known, d true if the item is deleted
//	marks    S  four random characters for each entry. After a restore, other changes can get the same sequence
//	            numbers in the same epoch; their marks differ
//
// The item has at most 4 KB. It has no attribute "item", so the table's stream does not invoke streamhandler for it.
//
// A writer begins a new epoch if the item is neither what it wrote last nor a continuation of that. While the journal
// is switched off, changes are missing from it, so [Writer.Remove] replaces [Writer.Append]; [Writer.AppendOrRemove]
// selects one of the two.
//
// row.go defines the item, writer.go and retry.go append to it, follower.go and poll.go poll it, run.go polls it on a
// timer, invocation.go polls it in Lambda invocations, and read.go reads it once, for tools.
package journal
