// Package e2e deploys the unchanged template.yaml with the SAM CLI on MiniStack, and looks at it from outside: webhooks
// in, what clients evaluate out. The functions are the real binaries, in processes that MiniStack starts as Lambda
// does, under the roles of the template, whose policies MiniStack evaluates. LaunchDarkly is internal/launchdarkly.
// `make e2e` runs it.
//
// MiniStack runs with some things corrected, which test/emulator/corrected.py lists.
//
// Between the functions and MiniStack stands a gate, which notes each call, and can refuse calls or hold them while a
// function is killed. File stack_test.go deploys, gate_test.go is the gate, consumer_test.go the clients.
//
// What MiniStack cannot show is held statically, by sam/template_test.go: the schedule's execution id (it is not
// substituted there), records that expire after 23 hours, alarms that fire, the customer's key, and who may publish to
// the alarm topic.
package e2e
