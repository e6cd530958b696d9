// Package runtimeapi runs a Lambda function's bootstrap as Lambda does, in real processes: it speaks the Lambda runtime
// API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) on loopback, freezes a container as soon as its
// invocation has ended, and thaws it for the next one.
//
//	f := runtimeapi.New(runtimeapi.Config{Bootstrap: "./bootstrap", Env: []string{"TABLE=flags"}})
//	defer f.Close()
//	result, err := f.Invoke(ctx, []byte(`{"user":"ada"}`))
//
// Each container is a process with a runtime API of its own. An invocation goes to a container that is idle, or
// starts one; so invocations at the same time make several. As in Lambda:
//
//   - A frozen container gets no time at all (SIGSTOP): its monotonic clock goes on, as the machine's does, but nothing
//     in it runs until SIGCONT. (In Lambda that clock stops too; this is the one thing that is milder here.)
//   - An invocation that passes its deadline, and one whose process exits, ends its container.
//   - A function has ten seconds for its start.
//
// [Function.Recycle] ends all idle containers, as Lambda does when it likes. The package needs Unix signals.
package runtimeapi
