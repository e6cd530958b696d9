// Lambda is a function that evaluates flags from memory and sees a change within a second. It needs dynamodb:GetItem
// and dynamodb:Query on the flag table, and no VPC. It calls LaunchDarkly only to send events.
//
//	TABLE_NAME   the flag table
//	PREFIX       the LaunchDarkly environment in the table; empty if it has no prefix
//	LD_SDK_KEY   LaunchDarkly's SDK key, to send events; empty to send none
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
		// On an error, for example because the flag does not exist yet, the default is returned.
		if on, _ := flags.Client.BoolVariation("new-checkout", ldcontext.New(user), false); on {
			return "the new checkout", nil
		}
		return "the checkout that you know", nil
	}))
}
