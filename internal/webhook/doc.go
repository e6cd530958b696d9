// Package webhook takes LaunchDarkly's webhook and puts a request to synchronize into an SQS FIFO queue.
//
// A webhook is a reason to look at LaunchDarkly, not news: nothing of its body is used but its hash. So webhooks
// may come late, twice or in another order (LaunchDarkly promises none of it, and tries twice at most:
// https://launchdarkly.com/docs/home/infrastructure/webhooks), and a replayed one costs a synchronization that
// finds nothing to do.
//
// What it promises:
//
//   - Nothing is queued unless the body carries the signature of a secret that [Secrets] names now.
//   - 202 is answered only when the request is in the queue; whatever fails before that is a 5xx, on which
//     LaunchDarkly tries again, once.
//   - Equal bodies within five minutes are one request, different ones never are: the queue's de-duplication
//     goes by the body's SHA-256.
//   - Secrets, and the signature that was expected, are never logged or sent.
//
// [Handler] serves an API Gateway HTTP API (payload format 2.0, also a function URL) and net/http alike. The package
// never calls LaunchDarkly and has none of its SDK, so that a function of it starts fast.
package webhook
