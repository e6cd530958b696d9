// Package journal keeps the latest changes of a flag table in one small item of that table, for processes that cannot
// be pushed to: SNS cannot reach a particular warm Lambda container, and a frozen one can poll nothing.
//
// streamhandler writes the journal after it published, with a [Writer]. Processes poll it with a [Follower], for half
// a read unit. A Lambda function does so when an invocation begins, at most about once a second:
//
//	store := cachedstore.New(dynamostore.DataStore("flags").Client(db))
//	follower := journal.Follow("flags", store, journal.Client(db))
//	...
//	lambda.Start(journal.Wrap(follower, handle))
//
// A service does so on a timer:
//
//	go follower.Run(ctx)
//
// # What a follower promises
//
//   - What was in the journal when a poll began is known to the sink when the poll ends. The outcome of a poll is
//     used for the interval, counted from its beginning by the wall clock and by the monotonic clock (which stops
//     while a container is frozen). So when an invocation begins, its flags are at most the interval, and the lag of
//     the replica that answers, older than the journal, if the journal can be read within the budget. Otherwise the
//     sink's own TTL is the limit. Polls are eventually consistent: the lag is normally well under a second.
//   - It invalidates exactly what changed since the poll before. It invalidates everything at its first poll, when
//     the journal's epoch is another, when the journal no longer holds all that it missed, and when the journal went
//     back in time or has another history, because the table was restored. An old replica's answer changes nothing.
//   - A poll that takes longer than the budget goes on beside the invocation and after it. However slow the table is
//     and however invocations overlap, one always completes.
//   - A table without a journal costs one read in each interval, and one line in the log.
//
// # The item
//
// There is one journal for each prefix and region (each region of a global table writes and reads its own), in one or
// more copies that are written alike in one transaction, so that more than about 6,000 polls a second can be spread
// over as many partitions, once DynamoDB has split the table so far. The table's limits, such as a quota of 40,000
// read units a second, apply to all copies together. Namespace and key are both "[prefix:]$journal/<region>/<copy>",
// and:
//
//	epoch    S  random, made with the item; another one means that anything may have changed
//	seq      N  how many changes were appended in this epoch
//	entries  S  a JSON array of the latest of them, oldest first: n the key, k the kind unless it is features, v the
//	            version if it is known, d true if the item is deleted
//	marks    S  four random characters for each entry. After a restore, other changes get the same numbers in the same
//	            epoch; their marks differ
//
// All of it takes at most 4 KB. It has no attribute "item", so the table's stream does not invoke streamhandler for
// it.
//
// A writer begins a new epoch when the history is not the one that it wrote. While the journal is switched off,
// changes are missing from it, so [Writer.Remove] takes the place of [Writer.Append].
//
// File row.go is the item, writer.go and retry.go append to it, follower.go and poll.go poll it, run.go does so on a
// timer, and invocation.go connects that to Lambda's invocations.
package journal
