// Openfeature evaluates flags through OpenFeature's Go SDK, in a Lambda function. The provider for LaunchDarkly's
// client is maintained by the OpenFeature community, not by LaunchDarkly or warmflags.
//
//	TABLE_NAME, PREFIX, LD_SDK_KEY   as in ../lambda
package main

import (
	"context"
	"log"

	"github.com/aws/aws-lambda-go/lambda"
	launchdarkly "github.com/open-feature/go-sdk-contrib/providers/launchdarkly/pkg"
	"github.com/open-feature/go-sdk/openfeature"

	"github.com/warmflags/warmflags"
)

func main() {
	flags, err := warmflags.Open(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	if err := openfeature.SetProviderAndWait(launchdarkly.NewProvider(flags.Client)); err != nil {
		log.Fatal(err)
	}
	client := openfeature.NewDefaultClient()
	lambda.Start(flags.Handler(func(ctx context.Context, user string) (string, error) {
		who := openfeature.NewEvaluationContext(user, map[string]any{"kind": "user"})
		if client.Boolean(ctx, "new-checkout", false, who) {
			return "the new checkout", nil
		}
		return "the checkout that you know", nil
	}))
}
