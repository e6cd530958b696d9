// Package runtimeapi runs a Lambda function's bootstrap, and external extensions, as Lambda does, in real processes.
// It speaks the Lambda runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) and extensions
// API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html) on loopback.
//
//	f := runtimeapi.New(runtimeapi.Config{Bootstrap: "./bootstrap", Env: []string{"TABLE_NAME=flags"}})
//	defer f.Close()
//	result, err := f.Invoke(ctx, []byte(`{"user":"ada"}`))
//
// Each container is a runtime process, its external extensions and an API server. An invocation goes to a container
// that is idle, or starts one. As in Lambda:
//
//   - The caller has the answer when the function has posted it ([Invocation.Answer]). The invocation ends when the
//     runtime and all extensions that got its event have asked for the next one ([Invocation.End]).
//   - Then the container is frozen (SIGSTOP), and gets no time at all until the next invocation. Its monotonic clock
//     goes on, as the machine's does; in Lambda it stops.
//   - An invocation that passes its deadline, and a process that exits, end the container.
//   - A start takes at most ten seconds.
//   - A container that is shut down ([Function.Recycle]) gets SIGTERM if it has extensions, and external extensions
//     get the SHUTDOWN event. What has not exited after 500 ms, or 2 seconds with external extensions, gets SIGKILL.
//   - On Managed Instances ([Config.Concurrency]) a container runs several invocations at a time, is never frozen,
//     and has no INVOKE events.
//
// File function.go has the containers, container.go one of them, api.go and extension.go what it serves, process.go
// its processes. The package needs Unix signals.
package runtimeapi
