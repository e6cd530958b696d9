package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/warmflags/warmflags/internal/parameter"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/subscriber"
)

// Account is an AWS account and region, as the commands use it. [Connect] makes it; the embedded engine
// takes its place in tests.
type Account struct {
	DynamoDB   DynamoDB
	SQS        SQS
	SNS        SNS
	Parameters parameter.Client
	Lambda     lambda.ListEventSourceMappingsAPIClient
	Metrics    Metrics
	Logs       cloudwatchlogs.FilterLogEventsAPIClient
	// Limit is how long [Status] may read each part. Zero or less: 20 seconds.
	Limit time.Duration
}

// DynamoDB is the part of *dynamodb.Client that is used.
type DynamoDB interface {
	table.API
	table.Scanner
	DeleteItem(
		context.Context,
		*dynamodb.DeleteItemInput,
		...func(*dynamodb.Options),
	) (*dynamodb.DeleteItemOutput, error)
	DescribeTable(
		context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options),
	) (*dynamodb.DescribeTableOutput, error)
}

// SQS is the part of *sqs.Client that is used.
type SQS interface {
	subscriber.SQS
	subscriber.ReaperSQS
}

// SNS is the part of *sns.Client that is used.
type SNS interface {
	subscriber.SNS
	subscriber.ReaperSNS
	streamhandler.Publisher
}

// Metrics is the part of *cloudwatch.Client that is used.
type Metrics interface {
	GetMetricStatistics(
		context.Context, *cloudwatch.GetMetricStatisticsInput, ...func(*cloudwatch.Options),
	) (*cloudwatch.GetMetricStatisticsOutput, error)
	DescribeAlarms(
		context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options),
	) (*cloudwatch.DescribeAlarmsOutput, error)
}

// Connect makes the clients. It calls nothing.
func Connect(cfg aws.Config) Account {
	return Account{
		DynamoDB: dynamodb.NewFromConfig(cfg), SQS: sqs.NewFromConfig(cfg), SNS: sns.NewFromConfig(cfg),
		Parameters: ssm.NewFromConfig(cfg), Lambda: lambda.NewFromConfig(cfg), Metrics: cloudwatch.NewFromConfig(cfg),
		Logs: cloudwatchlogs.NewFromConfig(cfg),
	}
}

// why says in one line why a part could not be read: without the request IDs and URLs of AWS's own text.
func (a Account) why(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer in %v", a.Limit)
	}
	operation := (*smithy.OperationError)(nil)
	if errors.As(err, &operation) {
		return operation.Operation() + ": " + brief(err)
	}
	return brief(err)
}
