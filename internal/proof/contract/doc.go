// Package contract says what warmflags expects of AWS: of DynamoDB and its streams, of SNS and of SQS. It is a list
// of cases that run on anything with the methods of the AWS SDK's clients, in the way of LaunchDarkly's storetest.
//
// This package's own test runs them on internal/local/aws, and test/ (make integration) on DynamoDB Local and
// MiniStack. So the engine that the demo and the simulations stand on cannot drift from engines that others wrote.
// Where an emulator is known not to do as AWS does, test/ names the case and the reason, and demands that it still
// fails.
//
//	for _, c := range contract.Cases() {
//		t.Run(c.Name, func(t *testing.T) { c.Run(t, account) })
//	}
//
// A case makes its own tables, topics and queues, under new names, and depends on nothing else in the account. It
// never sleeps: where time has to pass, it waits in a long poll. On localaws that can be virtual time.
//
// Errors are compared by code, and cancellation reasons too: messages are for people, and differ between engines.
package contract
