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
//   - The caller gets the response when the function has posted it ([Invocation.Answer]). The invocation ends when the
//     runtime and all extensions that got its event have requested the next one ([Invocation.End]).
//   - Then the container is frozen (SIGSTOP) and does not run until the next invocation. Its monotonic clock continues
//     with the machine's; in Lambda it stops.
//   - An invocation that passes its deadline, and a process that exits, end the container.
//   - A start takes at most ten seconds.
//   - A container that is shut down ([Function.Recycle]) gets SIGTERM if it has extensions, and external extensions
//     get the SHUTDOWN event. Processes that have not exited after 500 ms, or 2 seconds with external extensions, get
//     SIGKILL.
//   - On Managed Instances ([Config.Concurrency]) a container runs several invocations at a time, is never frozen,
//     and has no INVOKE events.
//
// File function.go manages the containers, container.go is one container, api.go and extension.go have its APIs, and
// process.go its processes. The package needs Unix signals.
package runtimeapi
