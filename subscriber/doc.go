// Package subscriber delivers the changes that streamhandler publishes to an SNS topic to a sink, such as a
// cachedstore. It has three sources, for three kinds of process:
//
//   - [Queue], for a service: an SQS queue of its own, created at its start and removed at its end.
//   - [Endpoint], for a service with a public address of its own: an HTTPS handler that SNS posts to. Behind a
//     load balancer only one instance receives a change: give each process a URL, or use a queue.
//   - [Lambda], for a function that is subscribed to the topic. Only the container that is invoked receives the
//     change: all others need the journal.
//
// # Promises
//
// The sink has a change before its message is acknowledged. So if a process is killed, SQS or SNS delivers the message
// again, or a successor starts with an empty cache. A source that starts to listen calls InvalidateAll, because earlier
// changes are not known. A Queue does so again whenever it may have missed changes: it compares regularly what delivery
// depends on with what it created. An Endpoint and a Lambda cannot know what SNS gave up to deliver; the sink's TTL
// limits that.
//
// A source has one prefix, see [Prefix]. Messages for another prefix and from other programs are dropped: counted,
// logged at most every ten minutes for each reason, and acknowledged, so that none blocks the next. A message of
// warmflags that cannot be read in full invalidates everything.
//
// A message only triggers a read (see package change), so one that is repeated, late or replayed costs a read.
//
// # Limits
//
// A killed process leaves its queue behind; a [Reaper] removes it, by its tags. Subscriptions have no filter policy: a
// policy takes minutes to apply, and a topic can have 200 of them. Under a flood of forged requests, an Endpoint may
// fetch SNS's next certificate late.
package subscriber
