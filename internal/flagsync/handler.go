package flagsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"github.com/warmflags/warmflags/internal/emf"
	"github.com/warmflags/warmflags/internal/table"
)

// A batch's way:
//
//	Handle:   time is kept for what comes last; then each environment is synced, a few at a time
//	          one failed?  all requests come again soon, or, after the queue's last try, are dead letters
//
// Requests are not told apart, and nothing is remembered between batches: a try that comes again syncs everything
// anew, and finds unchanged what went well.

const (
	// atOnce bounds the environments that are synced at the same time: each is in memory as a whole.
	atOnce = 4
	// reserve is what is left of the function's time for what follows the syncs: the log line and the retry.
	reserve = 5 * time.Second
	// firstRetryAfter and lastRetryAfter bound the time until a failed batch comes again. It doubles with each try.
	firstRetryAfter, lastRetryAfter = 1, 60 // seconds
	// othersRetryAfter is the longest where only some environments failed: the others' next flip waits as long.
	othersRetryAfter = 10
)

// Visibility is the part of [sqs.Client] that [Retry] uses.
type Visibility interface {
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
}

// Retry makes a [Handler] shorten the visibility of the requests that it failed, so that they come again soon: after 1s,
// then 2s, 4s and so on, at most 60s, or 10s while other environments do well. Meanwhile nothing else of their FIFO group
// comes, but each try syncs everything.
// Default: they come again when the queue's own visibility time-out ends, which must be longer than a sync.
func Retry(client Visibility, queueURL string) Option {
	return func(o *options) {
		o.queue, o.queueURL = client, queueURL
		if client == nil || queueURL == "" {
			o.problems = append(o.problems, errors.New("option Retry needs an SQS client and the queue's URL"))
		}
	}
}

// Handler syncs all environments of a table when Lambda hands it requests from the queue. It is safe for
// concurrent use.
type Handler struct {
	client  table.API
	table   string
	keys    Keys
	list    []Option
	options options
}

// NewHandler makes a handler for the table of that name; keys says which prefixes there are. Wrong
// options are reported by Handle. [Force] and [DryRun] are errors: nothing that runs by itself may do without guards, or
// take requests from the queue and write nothing. The Handler calls [Progress] from several goroutines at once.
func NewHandler(client table.API, tableName string, keys Keys, options ...Option) *Handler {
	h := &Handler{client: client, table: tableName, keys: keys, list: options, options: newOptions(options)}
	if client == nil || tableName == "" || keys == nil {
		h.options.problems = append(h.options.problems, errors.New("a handler needs a DynamoDB client, a table and keys"))
	}
	if h.options.force || h.options.dryRun {
		h.options.problems = append(h.options.problems, errors.New("options Force and DryRun are for Sync: a handler has neither"))
	}
	return h
}

// Handle is one sync of each environment, however many requests there are and whatever they say: a request is a
// reason to look. An environment that fails does not stop the others. Then the error joins all failures, and
// all requests come again: every event is given as failed, which only matters where the error is not seen. So no
// request is acknowledged by a sync that failed, lost its fence, or was held by a guard.
func (h *Handler) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	// Lambda kills a function whose time is up without a word: its requests would be hidden for as long as the queue's
	// time-out says, and there would be no line in the log. So a sync that hangs is ended a little before.
	inTime := ctx
	if end, ok := ctx.Deadline(); ok {
		end = end.Add(-min(reserve, time.Until(end)/2))
		var cancel context.CancelFunc
		inTime, cancel = context.WithDeadlineCause(ctx, end, errors.New("the function's time is up"))
		defer cancel()
	}
	o := &outcome{}
	err := h.syncAll(inTime, o)
	var response events.SQSEventResponse
	if err != nil {
		for _, record := range event.Records {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
		// Not in inTime: it may be over, and that is when this matters.
		h.retrySoon(ctx, event.Records, o)
	}
	h.log(ctx, event.Records, o, err)
	return response, err
}

// outcome is what became of a batch's environments. An environment counts once in each, however many items it is about:
// the alarm's question is how many environments want to be looked at.
type outcome struct {
	mu                                   sync.Mutex // guards all
	environments, failed, held, refusing int
	failures                             []error
}

// syncAll syncs the environments that have a key, and joins their failures. It returns when all have ended.
func (h *Handler) syncAll(ctx context.Context, o *outcome) error {
	if err := errors.Join(h.options.problems...); err != nil {
		return fmt.Errorf("configure handler of requests: %w", err)
	}
	keys, err := h.keys(ctx, false)
	if err != nil {
		return err
	}
	o.environments = len(keys)
	var group errgroup.Group // without a context: one that fails must not cancel the others
	group.SetLimit(atOnce)
	for prefix := range keys {
		group.Go(func() error {
			r, err := h.syncOne(ctx, prefix)
			o.add(r, err)
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(o.failures...)
}

// add adds one environment's sync.
func (o *outcome) add(r Result, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.failures = append(o.failures, err)
	}
	o.failed += boolToInt(err != nil)
	o.held += boolToInt(errors.Is(err, ErrGuard) || len(r.HeldBack) > 0)
	o.refusing += boolToInt(len(r.Refused) > 0)
}

// syncOne is one environment's sync, with a Syncer of its own.
func (h *Handler) syncOne(ctx context.Context, prefix string) (Result, error) {
	return New(&table.Environment{Client: h.client, Table: h.table, Prefix: prefix}, h.keys, h.list...).Sync(ctx)
}

// retrySoon makes failed requests visible again soon
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html). Where that
// fails, they come again later, so its errors are no more than a warning.
func (h *Handler) retrySoon(ctx context.Context, requests []events.SQSMessage, o *outcome) {
	if h.options.queue == nil {
		return
	}
	// Also where ctx has ended: without these calls the requests stay hidden for as long as the queue's time-out says.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reserve/2)
	defer cancel()
	after := retryAfter(requests, o.failed < o.environments)
	for _, r := range requests {
		_, err := h.options.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &h.options.queueURL, ReceiptHandle: &r.ReceiptHandle, VisibilityTimeout: after,
		})
		if err != nil {
			h.options.logger.WarnContext(ctx, "a failed request comes again later than it could", "message", r.MessageId, "error", err)
		}
	}
}

// retryAfter is when, in seconds: the same for the whole batch, as one that stays away holds up the others of its group. That
// is also why an environment that a guard holds for days must not make those that do well wait long.
func retryAfter(requests []events.SQSMessage, othersDoWell bool) int32 {
	tries := 1
	for _, r := range requests {
		n, _ := strconv.Atoi(r.Attributes["ApproximateReceiveCount"]) // 0 if it is not there
		tries = max(tries, n)
	}
	most := lastRetryAfter
	if othersDoWell {
		most = othersRetryAfter
	}
	return int32(min(firstRetryAfter<<min(tries-1, 10), most))
}

// log writes a batch's line. Its metrics have no dimension but the function's name, so that an alarm needs no environment's.
func (h *Handler) log(ctx context.Context, requests []events.SQSMessage, o *outcome, err error) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelError
	}
	now := time.Now()
	// How long somebody has been waiting for this sync: the earlier tries are in it, as SentTimestamp stays.
	var age time.Duration
	for _, r := range requests {
		if ms, err := strconv.ParseInt(r.Attributes["SentTimestamp"], 10, 64); err == nil {
			age = max(age, now.Sub(time.UnixMilli(ms)))
		}
	}
	attrs := emf.Attrs(now, emf.Function(), []emf.Metric{
		emf.Count("Requests", len(requests)),
		emf.Seconds("RequestAge", age),
		emf.Count("Environments", o.environments),
		emf.Count("EnvironmentsFailed", o.failed),
		emf.Count("EnvironmentsHeld", o.held),
		emf.Count("EnvironmentsRefusing", o.refusing),
		emf.Count("BatchFailures", boolToInt(err != nil)),
	})
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	emf.Log(ctx, h.options.logger, level, "requests handled", attrs...)
}
