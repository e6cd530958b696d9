// Package webhook receives LaunchDarkly's webhook and puts a request to sync into an SQS FIFO queue.
//
// A webhook only says that something may have changed: of its body only the hash is used. LaunchDarkly may send webhooks
// late, in any order and more than once, and it makes two attempts at most
// (https://launchdarkly.com/docs/home/infrastructure/webhooks). A repeated webhook costs one sync that finds nothing to do.
//
// What it promises:
//
//   - A request is queued only if the body carries the signature of a secret that [Secrets] returns now.
//   - The answer is 202 only if the request is in the queue. Any earlier failure is a 5xx, after which LaunchDarkly makes
//     its second attempt.
//   - The request is for the one environment whose prefix the path ends with, or for all environments.
//   - Equal bodies for the same environment are one request within five minutes; different bodies never are.
//   - Secrets and expected signatures are never logged or sent.
//
// [Handler] serves an API Gateway HTTP API (payload format 2.0), a function URL and net/http. The package never calls
// LaunchDarkly and does not import its SDK, so that a function with it starts fast.
package webhook
