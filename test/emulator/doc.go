// Package emulator runs DynamoDB Local and MiniStack, other people's emulators of AWS, for as long as a test program
// runs, and makes the AWS SDK's clients for them.
//
//	func TestMain(m *testing.M) { os.Exit(emulator.Main(m)) }
//
// DynamoDB Local is Amazon's own and stands in for DynamoDB and its streams; MiniStack stands in for SNS and SQS.
// `make integration` installs both into .tools/integration. Each process listens on a free port, and is asked on the
// loopback interface only; its output goes to a file in .tools/integration. A process ends with [Main], and also when
// the test program is killed, panics or runs out of time: it is the child of a shell that waits for the end of a pipe
// from the test program, and then kills it.
package emulator
