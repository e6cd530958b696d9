package streamhandler_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

// printer is a publisher that prints the changes. In AWS, use an *sns.Client.
type printer struct{}

func (printer) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	message, err := change.Parse([]byte(*in.Message))
	if err != nil {
		return nil, err
	}
	for _, c := range message.Changes {
		fmt.Printf("%s: %s %s is now version %d\n", message.Prefix, c.Kind, c.Key, c.Version)
	}
	return &sns.PublishOutput{}, nil
}

// A batch with two edits of one flag makes one change, with the version of the second edit. In a Lambda function, pass
// the handler to lambda.Start.
func Example() {
	handler := streamhandler.New(printer{},
		streamhandler.TopicARN("arn:aws:sns:eu-west-1:123456789012:flags"),
		streamhandler.Logger(slog.New(slog.NewTextHandler(io.Discard, nil))))

	edit := func(sequence, from, to string) events.DynamoDBEventRecord {
		row := func(version string) map[string]events.DynamoDBAttributeValue {
			return map[string]events.DynamoDBAttributeValue{
				"version": events.NewNumberAttribute(version),
				"item":    events.NewStringAttribute(`{"key":"dark-mode","on":true}`),
			}
		}
		return events.DynamoDBEventRecord{EventName: "MODIFY", Change: events.DynamoDBStreamRecord{
			SequenceNumber: sequence,
			Keys: map[string]events.DynamoDBAttributeValue{
				"namespace": events.NewStringAttribute("production:features"),
				"key":       events.NewStringAttribute("dark-mode"),
			},
			OldImage: row(from), NewImage: row(to),
		}}
	}
	_, err := handler.Handle(context.Background(), events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{
		edit("101", "6", "7"), edit("102", "7", "8"),
	}})
	fmt.Println(handler.Stats().Records, "records,", handler.Stats().Messages, "message,", err)
	// Output:
	// production: features dark-mode is now version 8
	// 2 records, 1 message, <nil>
}
