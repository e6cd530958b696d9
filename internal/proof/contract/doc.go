// Package contract specifies what warmflags expects of AWS: of DynamoDB and its streams, of SNS and of SQS. It is a
// list of cases that run on any implementation of the AWS SDK's clients, similar to LaunchDarkly's storetest.
//
// This package's own test runs the cases on internal/local/aws; test/ (make integration) runs them on DynamoDB Local
// and MiniStack. The engine of the demo and the simulations therefore behaves like independent implementations. If an
// emulator is known to differ from AWS, test/ names the case and the reason, and requires that the case still fails.
//
//	for _, c := range contract.Cases() {
//		t.Run(c.Name, func(t *testing.T) { c.Run(t, account) })
//	}
//
// A case makes its own tables, topics and queues under new names, and depends on nothing else in the account. It
// never sleeps: if time must pass, it waits in a long poll. On localaws that can be virtual time.
//
// Errors and cancellation reasons are compared by code, because their texts differ between engines.
package contract
