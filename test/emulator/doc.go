// Package emulator runs DynamoDB Local and MiniStack, emulators of AWS, while a test program runs, and makes clients
// for them.
//
//	func TestMain(m *testing.M) { os.Exit(emulator.Main(m)) }
//
// DynamoDB Local is Amazon's own emulator of DynamoDB and its streams; MiniStack emulates SNS and SQS. `make
// integration` installs both into .tools/integration. Each process listens on a free port and is called on the loopback
// interface only; its output goes to a file in .tools/integration. A process ends with [Main], and also when the test
// program is killed, panics or times out: its parent is a shell that waits until the pipe from the test program is
// closed and then kills it.
package emulator
