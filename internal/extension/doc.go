// Package extension sends LaunchDarkly's events after a Lambda function has answered.
//
// A Lambda environment is frozen as soon as an invocation has ended, so events must be sent before. A function that
// sends them before its answer makes each caller wait for LaunchDarkly. But an invocation ends only when the runtime
// and all extensions have asked for their next event, and the caller gets the answer earlier, when the function posts
// it. So this package registers an extension inside of the function's own process (Lambda calls it internal), which
// asks for its next event only when the events have been sent.
//
//	INVOKE ---> handler ---> answer ---> next event
//	INVOKE ---> extension waits for the handler ---> flush ---> next event ---> the environment is frozen
//
// Lambda bills the time of the flush, and no other invocation can use the environment meanwhile. So a flush has a
// budget, and there is at most one in each Interval. Between two flushes the extension asks for its next event at once.
// Events of the invocations in between are sent with a later flush, or when Lambda shuts the environment down: it sends
// SIGTERM, and SIGKILL 300 to 500 ms later. A panic, a timeout of the function and a SIGKILL lose events.
//
// On Lambda Managed Instances the process is never frozen, and internal extensions get no events. There the client's
// own timer sends its events, and this package does so at SIGTERM.
//
// Sources: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html and the source of
// github.com/aws/aws-lambda-runtime-interface-emulator.
package extension
