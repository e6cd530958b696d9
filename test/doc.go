// Package test tests warmflags against third-party programs: LaunchDarkly's own test suite for stores, Amazon's
// DynamoDB Local, MiniStack's SNS and SQS, AWS's Runtime Interface Emulator, LaunchDarkly's Python SDK. It contains
// only tests; `make integration` installs what they need and runs them. It is a module of its own, so that users of
// warmflags do not get its dependencies.
package test
