// Lambda is a function whose flags are in memory when it wakes up, and fresh. It needs dynamodb:GetItem and
// dynamodb:Query on the flag table, no VPC, and no call to LaunchDarkly except for events.
//
//	TABLE_NAME   the flag table
//	PREFIX       the LaunchDarkly environment in it; empty if it has no prefix
//	LD_SDK_KEY   for events; empty if none are to be sent
package main

import (
	"context"
	"log"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"

	"github.com/warmflags/warmflags"
)

func main() {
	flags, err := warmflags.Open(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(flags.Handler(func(_ context.Context, user string) (string, error) {
		// An error, for example of a flag that does not exist yet, comes with the default.
		if on, _ := flags.Client.BoolVariation("new-checkout", ldcontext.New(user), false); on {
			return "the new checkout", nil
		}
		return "the checkout that you know", nil
	}))
}
