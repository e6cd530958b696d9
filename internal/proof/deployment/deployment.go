// Package deployment is a stack of warmflags in the embedded engine, for the tests of the commands that look at one.
// Its table, stream, streamhandler, topic and journal are the real code; what Lambda, CloudWatch and its logs answer is
// what a test says, in the types of AWS's SDK.
package deployment

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/streamhandler"
)

// Deployment is a stack. Change its fields before they are read.
type Deployment struct {
	Cloud   *localaws.Cloud
	Account operate.Account
	Stack   operate.Stack

	Keys     string                                                   // the text of the SDK key parameter
	Mappings map[string][]lambdatypes.EventSourceMappingConfiguration // by the function's name
	Lag      []cwtypes.Datapoint
	Alarms   []cwtypes.MetricAlarm
	Log      []string // the lines of the functions
	// Fail is asked before each call of DescribeTable, and of the services above; nil: none fails.
	Fail func(operation string) error

	stream string
	stop   context.CancelFunc
	work   sync.WaitGroup
}

// Start makes a stack "flags" whose changes are published. Close it.
func Start() *Deployment {
	d := &Deployment{Cloud: localaws.New()}
	d.Cloud.Logger = slog.New(slog.DiscardHandler)
	d.stream = d.Cloud.CreateFlagTable("flags")
	topic, err := d.Cloud.SNS.CreateTopic(context.Background(), &sns.CreateTopicInput{Name: aws.String("changes")})
	must(err)
	d.Stack = operate.Stack{
		Name:           "flags",
		Region:         "us-east-1",
		Table:          "flags",
		TableStreamARN: d.stream,
		TopicARN:       *topic.TopicArn,
		RequestQueueURL: d.queue(
			"requests.fifo",
		),
		StreamFailureQueueURL: d.queue("failures"),
		LogGroup:              "/aws/lambda/flags",
		Parameters:            map[string]string{"SdkKeyParameter": "/warmflags/sdk-key"},
		Resources:             map[string]string{},
		Flags:                 []string{"--stack", "flags"},
	}
	d.Mappings = map[string][]lambdatypes.EventSourceMappingConfiguration{}
	for function, source := range map[string]string{
		"StreamhandlerFunction": d.stream, "FlagsyncFunction": "", "StreamFailureFunction": "",
	} {
		d.Stack.Resources[function] = "flags-" + function
		d.Mappings["flags-"+function] = []lambdatypes.EventSourceMappingConfiguration{
			{UUID: aws.String("uuid-of-" + function), State: aws.String("Enabled"), EventSourceArn: aws.String(source)},
		}
	}
	d.Account = operate.Account{
		DynamoDB: tables{
			d.Cloud.DynamoDB,
			d,
		},
		SQS:        d.Cloud.SQS,
		SNS:        d.Cloud.SNS,
		Parameters: d,
		Lambda:     d,
		Metrics:    d,
		Logs:       d,
		Limit:      2 * time.Minute, // half of it is for LaunchDarkly; a busy machine can stop for long
	}
	d.Publish()
	return d
}

func must(err error) {
	if err != nil {
		panic(err) // the engine is in memory
	}
}

func (d *Deployment) queue(name string) string {
	in := &sqs.CreateQueueInput{QueueName: &name}
	if name == "requests.fifo" {
		in.Attributes = map[string]string{"FifoQueue": "true"}
	}
	out, err := d.Cloud.SQS.CreateQueue(context.Background(), in)
	must(err)
	return *out.QueueUrl
}

// Publish runs streamhandler on the table's stream, from its beginning. Start calls it; a test calls it again after
// StopPublishing.
func (d *Deployment) Publish() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	quiet := slog.New(slog.DiscardHandler)
	writer := &journal.Writer{Client: d.Cloud.DynamoDB, Table: d.Stack.Table, Region: d.Stack.Region}
	handler := streamhandler.New(d.Cloud.SNS, streamhandler.TopicARN(d.Stack.TopicARN), streamhandler.Logger(quiet),
		streamhandler.OnPublished(writer.Append))
	mapping := localaws.StreamMapping{
		Streams:   d.Cloud.Streams,
		StreamARN: d.stream,
		Handler:   handler.Handle,
		Poll:      10 * time.Millisecond,
		Logger:    quiet,
	}
	d.work.Go(func() { must(mapping.Run(ctx)) })
}

// StopPublishing ends streamhandler.
func (d *Deployment) StopPublishing() {
	d.stop()
	d.work.Wait()
}

// Close ends all.
func (d *Deployment) Close() {
	d.StopPublishing()
	d.Cloud.Close()
}

func (d *Deployment) fails(operation string) error {
	if d.Fail == nil {
		return nil
	}
	return d.Fail(operation)
}

// tables is the engine's DynamoDB, and DescribeTable.
type tables struct {
	*localaws.DynamoDB
	*Deployment
}

// DescribeTable knows the stream only.
func (t tables) DescribeTable(
	context.Context,
	*dynamodb.DescribeTableInput,
	...func(*dynamodb.Options),
) (*dynamodb.DescribeTableOutput, error) {
	return &dynamodb.DescribeTableOutput{
			Table: &ddbtypes.TableDescription{LatestStreamArn: &t.stream},
		}, t.fails(
			"DescribeTable",
		)
}

// GetParameter is SSM's.
func (d *Deployment) GetParameter(
	context.Context,
	*ssm.GetParameterInput,
	...func(*ssm.Options),
) (*ssm.GetParameterOutput, error) {
	return &ssm.GetParameterOutput{Parameter: &ssmtypes.Parameter{Value: &d.Keys}}, d.fails("GetParameter")
}

// ListEventSourceMappings is Lambda's.
func (d *Deployment) ListEventSourceMappings(_ context.Context, in *lambda.ListEventSourceMappingsInput,
	_ ...func(*lambda.Options)) (*lambda.ListEventSourceMappingsOutput, error) {
	return &lambda.ListEventSourceMappingsOutput{
			EventSourceMappings: d.Mappings[*in.FunctionName],
		}, d.fails(
			"ListEventSourceMappings",
		)
}

// GetMetricStatistics is CloudWatch's.
func (d *Deployment) GetMetricStatistics(context.Context, *cloudwatch.GetMetricStatisticsInput,
	...func(*cloudwatch.Options)) (*cloudwatch.GetMetricStatisticsOutput, error) {
	return &cloudwatch.GetMetricStatisticsOutput{Datapoints: d.Lag}, d.fails("GetMetricStatistics")
}

// DescribeAlarms is CloudWatch's.
func (d *Deployment) DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput,
	...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	return &cloudwatch.DescribeAlarmsOutput{MetricAlarms: d.Alarms}, d.fails("DescribeAlarms")
}

// FilterLogEvents returns an empty page and then the lines, one on each page, as CloudWatch may.
func (d *Deployment) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if err := d.fails("FilterLogEvents"); err != nil {
		return nil, err
	}
	out, at := &cloudwatchlogs.FilterLogEventsOutput{}, len(aws.ToString(in.NextToken))
	if at > 0 && at <= len(d.Log) { // the first page is empty
		out.Events = []logtypes.FilteredLogEvent{{Message: &d.Log[at-1]}}
	}
	if at < len(d.Log) {
		out.NextToken = aws.String(aws.ToString(in.NextToken) + ".")
	}
	return out, nil
}
