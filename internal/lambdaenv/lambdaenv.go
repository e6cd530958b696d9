// Package lambdaenv detects the kind of process from the environment variables that Lambda sets.
package lambdaenv

import "os"

// Freezes reports whether this process is a Lambda function that handles one invocation at a time: Lambda freezes it
// between invocations, so its timers and background work stop.
//
// It returns false outside of Lambda, and on Lambda Managed Instances (AWS_LAMBDA_MAX_CONCURRENCY is set), which run
// invocations concurrently and never freeze the process. Such a process is treated as a service.
func Freezes() bool {
	return os.Getenv("AWS_LAMBDA_FUNCTION_NAME") != "" && os.Getenv("AWS_LAMBDA_MAX_CONCURRENCY") == ""
}
