// Package subscriber brings the changes that streamhandler publishes to an SNS topic to a sink, such as a
// cachedstore. There are three sources, for three kinds of process:
//
//   - [Queue], for a service: an SQS queue of its own, made when it starts and removed when it ends.
//   - [Endpoint], for a service with a public address of its own: an HTTPS handler that SNS posts to. Behind a
//     load balancer only one instance hears of a change: give each process a URL, or use a queue.
//   - [Lambda], for a function that is subscribed to the topic. Only the container that is invoked hears of
//     the change: all others need the journal.
//
// # What every source promises
//
// The sink has a change before its message is acknowledged, so a process that dies on the way gets the message
// again, or a successor starts from an empty cache. A source that has just begun to listen calls InvalidateAll,
// because nobody knows what changed before. A Queue does so again whenever changes may have been lost since. An Endpoint
// and a Lambda cannot know: what SNS gave up to deliver to them, they find by the sink's own TTL.
//
// A source has one prefix, see [Prefix]. Messages of another prefix, of another program, or that cannot be read
// are counted and logged (once a reason, and then at most every ten minutes) and acknowledged, so that none of
// them stands in the way of the next.
//
// A message is only a reason to look (see package change), so a repeated, late or replayed one costs a read.
//
// # What it does not do
//
// A source does not remove queues of processes that were killed: they carry tags, by which a [Reaper] finds them. It sets
// no filter policy on its subscriptions: a policy takes minutes to apply, and a topic can have 200 of them.
package subscriber
