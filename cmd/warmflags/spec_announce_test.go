package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/webhook"
	"github.com/warmflags/warmflags/journal"
)

// subscribe makes a queue that gets what is published to the stack's topic from now on.
func subscribe(ts *testscript.TestScript, _ bool, _ []string) {
	a := accountOf(ts)
	queue, err := a.cloud.SQS.CreateQueue(a.ctx, &sqs.CreateQueueInput{QueueName: aws.String("subscriber")})
	ts.Check(err)
	a.queue = *queue.QueueUrl
	attributes, err := a.cloud.SQS.GetQueueAttributes(a.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &a.queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	ts.Check(err)
	arn := attributes.Attributes[string(types.QueueAttributeNameQueueArn)]
	policy := fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},`+
			`"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`,
		arn,
		a.topic,
	)
	_, err = a.cloud.SQS.SetQueueAttributes(a.ctx, &sqs.SetQueueAttributesInput{
		QueueUrl: &a.queue, Attributes: map[string]string{"Policy": policy},
	})
	ts.Check(err)
	_, err = a.cloud.SNS.Subscribe(a.ctx, &sns.SubscribeInput{
		TopicArn:   &a.topic,
		Protocol:   aws.String("sqs"),
		Endpoint:   &arn,
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	ts.Check(err)
}

// printPublished prints the messages that came since the last call, one a line: prefix, then the items. "everything"
// stands for the empty message, "nothing" for no message.
func printPublished(ts *testscript.TestScript, _ bool, _ []string) {
	a := accountOf(ts)
	out, err := a.cloud.SQS.ReceiveMessage(a.ctx, &sqs.ReceiveMessageInput{QueueUrl: &a.queue, MaxNumberOfMessages: 10})
	ts.Check(err)
	if len(out.Messages) == 0 {
		_, _ = fmt.Fprintln(ts.Stdout(), "nothing")
	}
	for _, m := range out.Messages {
		parsed, err := change.Parse([]byte(*m.Body))
		ts.Check(err)
		_, _ = fmt.Fprintf(ts.Stdout(), "%q: %s\n", parsed.Prefix, describeChanges(parsed.Changes))
		_, err = a.cloud.SQS.DeleteMessage(
			a.ctx,
			&sqs.DeleteMessageInput{QueueUrl: &a.queue, ReceiptHandle: m.ReceiptHandle},
		)
		ts.Check(err)
	}
}

// readJournal prints the journal of a prefix: the number of its latest change, and its changes.
func readJournal(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	j, err := journal.Read(a.ctx, a.cloud.DynamoDB, "flags", strings.Join(args, ""), region)
	ts.Check(err)
	if j == nil {
		_, _ = fmt.Fprintln(ts.Stdout(), "no journal")
		return
	}
	_, _ = fmt.Fprintf(ts.Stdout(), "%d: %s\n", j.Seq, describeChanges(j.Changes))
}

func describeChanges(changes []change.Change) string {
	words := []string{}
	for _, c := range changes {
		words = append(words, fmt.Sprintf("%s/%s@%d", c.Kind, c.Key, c.Version))
	}
	if len(words) == 0 {
		return "everything"
	}
	return strings.Join(words, " ")
}

// refuse lets AWS refuse an operation from now on; without an argument, none.
func refuse(ts *testscript.TestScript, _ bool, args []string) {
	accountOf(ts).cloud.Intercept(func(_ context.Context, operation string, _ any) error {
		for _, refused := range args {
			if operation == refused {
				return errors.New(operation + " is refused")
			}
		}
		return nil
	})
}

// refuseAfter lets AWS refuse an operation after so many more calls.
func refuseAfter(ts *testscript.TestScript, _ bool, args []string) {
	left := atomic.Int64{}
	left.Store(int64(atoi(ts, args[1])))
	accountOf(ts).cloud.Intercept(func(_ context.Context, operation string, _ any) error {
		if operation == args[0] && left.Add(-1) < 0 {
			return errors.New(operation + " is refused")
		}
		return nil
	})
}

// webhookEndpoint starts the stack's webhook, whose URL is $WEBHOOK, with the secrets "old" and "new". Its requests go
// to the queue "requests.fifo".
func webhookEndpoint(ts *testscript.TestScript, _ bool, _ []string) {
	a := accountOf(ts)
	queue, err := a.cloud.SQS.CreateQueue(a.ctx, &sqs.CreateQueueInput{
		QueueName: aws.String("requests.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	ts.Check(err)
	handler := webhook.New(
		*queue.QueueUrl,
		webhook.Static("old", "new"),
		a.cloud.SQS,
		webhook.Logger(slog.New(slog.DiscardHandler)),
	)
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	ts.Setenv("WEBHOOK", server.URL+"/webhook")
}
