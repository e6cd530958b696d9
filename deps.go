package warmflags

import (
	_ "github.com/aws/aws-lambda-go/lambda"
	_ "github.com/aws/aws-sdk-go-v2/config"
	_ "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	_ "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	_ "github.com/aws/aws-sdk-go-v2/service/sns"
	_ "github.com/aws/aws-sdk-go-v2/service/sqs"
	_ "github.com/aws/aws-sdk-go-v2/service/ssm"
	_ "github.com/launchdarkly/go-server-sdk/v7"
	_ "github.com/launchdarkly/go-server-sdk/v7/testhelpers/storetest"
	_ "github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldservices"
	_ "github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	_ "github.com/spf13/cobra"
	_ "github.com/stretchr/testify/require"
	_ "go.uber.org/goleak"
	_ "pgregory.net/rapid"
	_ "golang.org/x/sync/errgroup"
)
