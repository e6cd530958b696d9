// Package extension sends LaunchDarkly's events after a Lambda function has answered.
//
// Lambda freezes an environment as soon as an invocation has ended, so events must be sent before that. If a function
// sends them before its answer, each caller waits for LaunchDarkly. But the caller gets the answer when the function
// posts it, and the invocation ends later, when the runtime and all extensions have asked for their next event. So this
// package registers an extension in the function's own process (Lambda calls it internal), which asks for its next
// event only after the events have been sent.
//
//	INVOKE ---> handler ---> answer ---> next event
//	INVOKE ---> extension waits for the handler ---> flush ---> next event ---> the environment is frozen
//
// Lambda bills the time of the flush, and no other invocation can use the environment during the flush. So a flush has
// a budget, and there is at most one flush in each Interval. Between two flushes the extension asks for its next event
// at once. Events of these invocations are sent with a later flush, or when Lambda shuts the environment down: Lambda
// sends SIGTERM, and SIGKILL 300 to 500 ms later. Events are lost at a panic, a timeout of the function and a SIGKILL.
//
// On Lambda Managed Instances the process is never frozen, and internal extensions get no events. There the client
// sends its events on its own timer, and this package sends them at SIGTERM.
//
// Sources: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html and the source of
// github.com/aws/aws-lambda-runtime-interface-emulator.
package extension
