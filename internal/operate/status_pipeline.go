package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// lagWindow is how far the report looks back for the stream's lag. Lambda measures it when it reads a batch
// (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html).
const lagWindow = 15 * time.Minute

// Queue is one of the stack's queues, and the event source mapping that empties it.
type Queue struct {
	NotKnown string `json:"not_known,omitempty"`
	Waiting  int    `json:"waiting"`
	InFlight int    `json:"in_flight"` // a function has them
	Mapping
}

// Stream is the event source mapping from the table's stream to streamhandler.
type Stream struct {
	NotKnown string `json:"not_known,omitempty"`
	Mapping
	// ARN is the stream that the mapping reads, and Current the table's.
	ARN     string `json:"stream_arn,omitempty"`
	Current string `json:"current_stream_arn,omitempty"`
}

// Mapping is an event source mapping.
type Mapping struct {
	ID         string `json:"mapping,omitempty"` // its UUID; empty: there is none
	State      string `json:"state,omitempty"`   // Lambda's, such as Enabled
	LastResult string `json:"last_result,omitempty"`
}

// enabled reports whether the mapping works, or will in a moment.
func (m Mapping) enabled() bool {
	return slices.Contains([]string{"Enabled", "Enabling", "Creating", "Updating"}, m.State)
}

// Lag is how old the changes were that streamhandler read last.
type Lag struct {
	NotKnown string `json:"not_known,omitempty"`
	// Seconds is the highest of the minute that Time begins; both are nil if no batch was read in the last 15 minutes.
	Seconds *float64   `json:"seconds"`
	Time    *time.Time `json:"time,omitempty"`
}

// Alarms are the stack's.
type Alarms struct {
	NotKnown string   `json:"not_known,omitempty"`
	Names    []string `json:"names"` // all of them; empty: the stack has none
	Firing   []Alarm  `json:"firing"`
}

// Alarm is one that fires.
type Alarm struct {
	Name   string     `json:"name"` // in the template, such as FlagsNotSynced
	Text   string     `json:"description,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
}

// alarmResources are the template's alarms.
var alarmResources = []string{
	"FlagsNotSynced", "FlagsHeldBack", "WebhookErrors", "WebhookRefused", "ChangesNotPublished", "NotificationsFailed",
}

// mappings returns the event source mappings of one of the stack's functions.
func (r *reading) mappings(
	ctx context.Context,
	function string,
) ([]lambdatypes.EventSourceMappingConfiguration, error) {
	name := r.stack.Resources[function]
	if name == "" {
		return nil, fmt.Errorf("the stack has no %s", function)
	}
	var all []lambdatypes.EventSourceMappingConfiguration
	pages := lambda.NewListEventSourceMappingsPaginator(
		r.Lambda,
		&lambda.ListEventSourceMappingsInput{FunctionName: &name},
	)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.EventSourceMappings...)
	}
	return all, nil
}

func newMapping(m lambdatypes.EventSourceMappingConfiguration) Mapping {
	return Mapping{aws.ToString(m.UUID), aws.ToString(m.State), aws.ToString(m.LastProcessingResult)}
}

// stream reads the mapping from the table's stream. Of several, the one on the current stream counts.
func (r *reading) stream(ctx context.Context) error {
	s := &r.report.Stream
	described, err := r.DynamoDB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &r.stack.Table})
	if err != nil {
		return err
	}
	s.Current = aws.ToString(described.Table.LatestStreamArn)
	all, err := r.mappings(ctx, "StreamhandlerFunction")
	if err != nil {
		return err
	}
	for _, m := range all {
		if arn := aws.ToString(m.EventSourceArn); s.ID == "" || arn == s.Current {
			s.Mapping, s.ARN = newMapping(m), arn
		}
	}
	return nil
}

// queue reads how many messages a queue has, and the mapping that empties it.
func (r *reading) queue(ctx context.Context, url, function string, q *Queue) error {
	if url == "" {
		return errors.New("the stack has no output with the queue's URL")
	}
	const waiting, inFlight = sqstypes.QueueAttributeNameApproximateNumberOfMessages,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	out, err := r.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{waiting, inFlight},
	})
	if err != nil {
		return err
	}
	q.Waiting, _ = strconv.Atoi(out.Attributes[string(waiting)]) // SQS always has both
	q.InFlight, _ = strconv.Atoi(out.Attributes[string(inFlight)])
	all, err := r.mappings(ctx, function)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		q.Mapping = newMapping(all[0])
	}
	return nil
}

// lag reads the latest value of Lambda's metric IteratorAge.
func (r *reading) lag(ctx context.Context) error {
	function := r.stack.Resources["StreamhandlerFunction"]
	if function == "" {
		return errors.New("the stack has no StreamhandlerFunction")
	}
	out, err := r.Metrics.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("AWS/Lambda"), MetricName: aws.String("IteratorAge"),
		Dimensions: []cwtypes.Dimension{{Name: aws.String("FunctionName"), Value: &function}},
		StartTime:  aws.Time(r.now.Add(-lagWindow)), EndTime: &r.now, Period: aws.Int32(60),
		Statistics: []cwtypes.Statistic{cwtypes.StatisticMaximum},
	})
	if err != nil {
		return err
	}
	latest := time.Time{}
	for _, p := range out.Datapoints {
		if t := aws.ToTime(p.Timestamp); t.After(latest) {
			latest = t
			r.report.Lag.Seconds, r.report.Lag.Time = aws.Float64(aws.ToFloat64(p.Maximum)/1000), at(t)
		}
	}
	return nil
}

// alarms reads the state of the stack's alarms. It returns an error that names those that CloudWatch has not evaluated.
func (r *reading) alarms(ctx context.Context) error {
	a := &r.report.Alarms
	logical := map[string]string{}
	in := &cloudwatch.DescribeAlarmsInput{}
	for _, name := range alarmResources {
		if physical := r.stack.Resources[name]; physical != "" {
			logical[physical] = name
			in.AlarmNames = append(in.AlarmNames, physical)
			a.Names = append(a.Names, name)
		}
	}
	if len(in.AlarmNames) == 0 {
		return nil // CloudWatch would return all alarms of the account
	}
	out, err := r.Metrics.DescribeAlarms(ctx, in) // six fit into one page
	if err != nil {
		return err
	}
	found, evaluated := 0, 0
	for _, alarm := range out.MetricAlarms {
		name := logical[aws.ToString(alarm.AlarmName)]
		if name == "" {
			continue
		}
		found++
		switch alarm.StateValue {
		case cwtypes.StateValueAlarm:
			a.Firing = append(a.Firing, Alarm{
				name,
				aws.ToString(alarm.AlarmDescription),
				aws.ToString(alarm.StateReason),
				alarm.StateUpdatedTimestamp,
			})
			evaluated++
		case cwtypes.StateValueOk:
			evaluated++
		}
	}
	if missing := len(a.Names) - found; missing > 0 {
		return fmt.Errorf("%d of %d alarms do not exist in CloudWatch", missing, len(a.Names))
	}
	if evaluated < found {
		return fmt.Errorf("CloudWatch has not evaluated %d of %d alarms (INSUFFICIENT_DATA)", found-evaluated, found)
	}
	return nil
}
