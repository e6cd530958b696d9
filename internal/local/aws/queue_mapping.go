package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

// QueueReader has the methods of *sqs.Client and [*SQS] that [QueueMapping] needs.
type QueueReader interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput,
		...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput,
		...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// QueueMapping runs a Lambda handler on a queue, as Lambda's event source mapping does with ReportBatchItemFailures.
// Messages that the handler does not report as failed are deleted. Failed messages stay and are redelivered when the
// queue's visibility timeout ends. If the handler reports a message without an identifier or one that is not in the
// batch, returns an error or panics, the whole batch stays
// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
//
// As in AWS, a handler of a FIFO queue must stop at a group's first failed message and report it and all messages
// after it: messages that are not reported are deleted, also later messages of the group.
type QueueMapping struct {
	// SQS and QueueURL identify the queue. Both are required.
	SQS      QueueReader
	QueueURL string
	// Handler is required. Its context is Run's. If Concurrency is more than one, it must be safe for concurrent use.
	Handler func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	// BatchSize is the maximum number of messages in a batch, at most 10. Zero: 10. Negative: an error.
	BatchSize int
	// Concurrency is the maximum number of concurrent batches. Zero: 1. Negative: an error.
	Concurrency int
	// Poll is the pause after a failed call. Zero: 250 ms. Negative: an error.
	Poll time.Duration
	// Logger gets a line for each failure. Nil: slog.Default().
	Logger *slog.Logger
}

// Run delivers until ctx ends, waits for the handler, deletes the messages that are done and returns nil. It returns
// an error with all wrong options, or an error if the queue does not exist. Other failed calls are logged and
// retried.
func (m *QueueMapping) Run(ctx context.Context) error {
	r := queueRun{QueueMapping: *m}
	if err := r.setDefaults(); err != nil {
		return err
	}
	err := r.findARN(ctx)
	if err == nil {
		pollers, ctx := errgroup.WithContext(ctx)
		for range r.Concurrency {
			pollers.Go(func() error { return r.poll(ctx) })
		}
		err = pollers.Wait()
	}
	if isQueueGone(err) {
		return fmt.Errorf("run queue mapping of %q: %w", r.QueueURL, err)
	}
	return nil
}

func isQueueGone(err error) bool {
	var gone *types.QueueDoesNotExist
	return errors.As(err, &gone)
}

// queueRun is one call of Run, with its options' defaults.
type queueRun struct {
	QueueMapping
	arn string
}

func (r *queueRun) setDefaults() error {
	var errs []error
	if r.SQS == nil || r.QueueURL == "" || r.Handler == nil {
		errs = append(errs, errors.New("run queue mapping: SQS, QueueURL and Handler are required"))
	}
	if r.BatchSize < 0 || r.BatchSize > maxQueueBatch {
		errs = append(errs,
			fmt.Errorf("run queue mapping: BatchSize is %d: use 1 to %d, or 0 for %d", r.BatchSize,
				maxQueueBatch, maxQueueBatch))
	}
	if r.Concurrency < 0 {
		errs = append(errs,
			fmt.Errorf("run queue mapping: Concurrency is %d: use a positive number, or 0 for 1", r.Concurrency))
	}
	if r.Poll < 0 {
		errs = append(errs,
			fmt.Errorf("run queue mapping: Poll is %v: use a positive time, or 0 for %v", r.Poll, defaultPoll))
	}
	if r.BatchSize == 0 {
		r.BatchSize = maxQueueBatch
	}
	if r.Concurrency == 0 {
		r.Concurrency = 1
	}
	if r.Poll == 0 {
		r.Poll = defaultPoll
	}
	if r.Logger == nil {
		r.Logger = slog.Default()
	}
	return errors.Join(errs...)
}

// findARN returns the queue's ARN, which every event contains. It retries until it succeeds or ctx ends.
func (r *queueRun) findARN(ctx context.Context) error {
	for ctx.Err() == nil {
		out, err := r.SQS.GetQueueAttributes(ctx,
			&sqs.GetQueueAttributesInput{QueueUrl: aws.String(r.QueueURL),
				AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
		if err == nil {
			r.arn = out.Attributes[string(types.QueueAttributeNameQueueArn)]
			return nil
		}
		if isQueueGone(err) {
			return err
		}
		r.failed(ctx, "cannot read the queue's ARN", err)
	}
	return nil
}

// failed logs a failed call and waits for Poll.
func (r *queueRun) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.Logger.Warn(what+"; retrying", "queue", r.QueueURL, "error", err)
	pause(ctx, r.Poll)
}

// poll delivers batches one after the other until ctx ends. It returns an error if the queue does not exist.
func (r *queueRun) poll(ctx context.Context) error {
	for ctx.Err() == nil {
		out, err := r.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(r.QueueURL), MaxNumberOfMessages: int32(r.BatchSize), WaitTimeSeconds: maxWait,
			MessageAttributeNames:       []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		switch {
		case isQueueGone(err):
			return err
		case err != nil:
			r.failed(ctx, "cannot receive from the queue", err)
		case len(out.Messages) > 0:
			r.deliver(ctx, out.Messages)
		}
	}
	return nil
}

// deliver calls the handler with a batch and deletes the messages that are done.
func (r *queueRun) deliver(ctx context.Context, messages []types.Message) {
	response, err := r.invoke(ctx, messages)
	done := notFailed(messages, response, err)
	if failed := len(messages) - len(done); failed > 0 {
		r.Logger.Warn("handler failed for messages of the queue", "queue", r.QueueURL, "messages",
			len(messages), "failed",
			failed, "error", err)
	}
	if len(done) == 0 {
		return
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(r.QueueURL)}
	for i, m := range done {
		in.Entries = append(in.Entries,
			types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // also after Run's context has ended
	defer cancel()
	out, err := r.SQS.DeleteMessageBatch(ctx, in)
	if err != nil {
		r.Logger.Warn("cannot delete messages; they will be redelivered", "queue", r.QueueURL, "messages",
			len(done), "error", err)
	} else if len(out.Failed) > 0 {
		r.Logger.Warn("cannot delete some messages; they will be redelivered", "queue", r.QueueURL, "messages",
			len(out.Failed), "error", aws.ToString(out.Failed[0].Message))
	}
}

// invoke calls the handler. It returns a panic as an error.
func (r *queueRun) invoke(ctx context.Context, messages []types.Message) (response events.SQSEventResponse, err error) {
	defer recovered(&err)
	var event events.SQSEvent
	for _, m := range messages {
		event.Records = append(event.Records, eventMessage(m, r.arn))
	}
	return r.Handler(ctx, event)
}

// notFailed returns the messages that are done.
func notFailed(messages []types.Message, response events.SQSEventResponse, err error) []types.Message {
	if err != nil {
		return nil
	}
	failed := map[string]bool{}
	for _, f := range response.BatchItemFailures {
		failed[f.ItemIdentifier] = true
	}
	var done []types.Message
	for _, m := range messages {
		if id := aws.ToString(m.MessageId); failed[id] {
			delete(failed, id)
		} else {
			done = append(done, m)
		}
	}
	if len(failed) > 0 { // a message that is not in the batch
		return nil
	}
	return done
}

func eventMessage(m types.Message, queueARN string) events.SQSMessage {
	e := events.SQSMessage{
		MessageId: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
		Attributes:        m.Attributes,
		MessageAttributes: map[string]events.SQSMessageAttribute{},
		EventSourceARN:    queueARN, EventSource: "aws:sqs", AWSRegion: region,
	}
	for name, a := range m.MessageAttributes {
		e.MessageAttributes[name] = events.SQSMessageAttribute{
			DataType: aws.ToString(a.DataType), StringValue: a.StringValue, BinaryValue: a.BinaryValue,
			StringListValues: []string{}, BinaryListValues: [][]byte{},
		}
	}
	return e
}
