// Package subscriber receives changes from the SNS topic of streamhandler and delivers them to a sink, such as a
// cachedstore. It has three sources, for three kinds of process:
//
//   - [Queue], for a service. Each process has its own SQS queue, which it creates when it starts and removes when it
//     ends.
//   - [Endpoint], for a service with a public address: an HTTPS handler to which SNS posts. Behind a load balancer only
//     one instance receives a change, so give each process a URL, or use a queue.
//   - [Lambda], for a function that is subscribed to the topic. Only the container that is invoked receives the
//     change, so all other containers need the journal.
//
// # Promises
//
// A message is acknowledged only after the sink has its changes. So if a process is killed, either SQS or SNS
// redelivers the message, or the next process starts with an empty cache.
//
// A source calls InvalidateAll when it starts to receive, because it does not know earlier changes. A Queue calls it
// again whenever it may have missed changes: it regularly compares its queue and subscription with what it created. An
// Endpoint and a Lambda cannot detect that SNS has stopped retrying a message; the sink's TTL is the limit then.
//
// A source has one prefix, see [Prefix]. Messages for another prefix and from other programs are dropped: they are
// counted, logged at most every ten minutes for each reason, and acknowledged, so that they do not block other
// messages. A warmflags message that cannot be read completely invalidates everything.
//
// A message only triggers a read (see package change). So a repeated, late or replayed message costs a read.
//
// # Limits
//
// A killed process does not remove its queue; a [Reaper] finds it by its tags and removes it. Subscriptions have no
// filter policy, because a policy takes minutes to apply and a topic can have only 200 of them. During a flood of
// forged requests, an Endpoint may be late in fetching SNS's next certificate.
package subscriber
