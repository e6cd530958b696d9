// Package lambdaenv tells which kind of process this is, from the variables that Lambda sets.
package lambdaenv

import "os"

// Freezes reports whether this process is a Lambda function that handles one invocation at a time: Lambda freezes it
// between invocations, so its timers and background work stop.
//
// It is false on Lambda Managed Instances (AWS_LAMBDA_MAX_CONCURRENCY is set), which run invocations concurrently and
// never freeze the process, and outside of Lambda: such a process is a service as far as time and background reads are
// concerned.
func Freezes() bool {
	return os.Getenv("AWS_LAMBDA_FUNCTION_NAME") != "" && os.Getenv("AWS_LAMBDA_MAX_CONCURRENCY") == ""
}
