// Package webhook receives LaunchDarkly's webhook and puts a request to sync into an SQS FIFO queue.
//
// A webhook only means that something may have changed; only the hash of its body is used. LaunchDarkly may send
// webhooks late, in any order and more than once, and it makes at most two attempts
// (https://launchdarkly.com/docs/home/infrastructure/webhooks). A repeated webhook costs one sync that finds nothing to
// do.
//
// Promises:
//
//   - A request is queued only if its body is signed with a secret that [Secrets] returns now.
//   - The answer is 202 only if the request is in the queue. Any earlier failure is a 5xx, after which LaunchDarkly
//     makes its second attempt.
//   - If the path ends with a prefix, the request is for that environment, and otherwise for all environments.
//   - Within five minutes, equal bodies for the same environment make one request. Different bodies always make
//     different requests.
//   - Secrets and expected signatures are never logged or sent.
//
// [Handler] serves an API Gateway HTTP API (payload format 2.0), a function URL and net/http. The package does not call
// LaunchDarkly and does not import its SDK, so that its function starts fast.
package webhook
