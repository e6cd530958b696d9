package flagsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/warmflags/warmflags/internal/emf"
	"github.com/warmflags/warmflags/internal/parameter"
	"github.com/warmflags/warmflags/internal/request"
	"github.com/warmflags/warmflags/internal/table"
)

// How a request is handled:
//
//	Handle   keeps a part of the function's time for the log line and the retry
//	handle   reads the request. One for all environments is in all.go
//	one      syncs an environment, unless a later sync has already done what the request asks for
//
// Each environment is a message group of its own. If one environment is slow or fails, other invocations handle the
// other environments at the same time.

const (
	// reserve is the part of the function's time that is kept for the work after a sync: the log line and the retry.
	reserve = 5 * time.Second
	// A failed request is redelivered after firstRetryAfter seconds. The delay doubles each time, up to
	// maxRetryAfter.
	firstRetryAfter, maxRetryAfter = 1, 60
	// clockSkew is the largest difference between the clocks of SQS and of a function.
	clockSkew = time.Second
)

// errHeld is wrapped by the error of a request that failed for a reason that no retry can fix. The request is
// acknowledged; the next request or the schedule causes the next sync.
var errHeld = errors.New("not retried")

// errNoKey is the cause of errHeld if the environment has no SDK key.
var errNoKey = errors.New("there is no SDK key")

// QueueClient is the part of *sqs.Client that [Queue] needs.
type QueueClient interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput,
		...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput,
		...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
}

// Queue sets the FIFO queue from which a [Handler] gets its requests. The Handler sends a request for each
// environment to the queue, and makes failed requests visible again after 1s, 2s, 4s and so on, at most 60s. Without
// this option a Handler can sync only one environment, and failed requests are redelivered when the queue's
// visibility timeout ends.
func Queue(client QueueClient, url string) Option {
	return func(o *options) {
		o.queue, o.queueURL = client, url
		if client == nil || url == "" {
			o.problems = append(o.problems, errors.New("option Queue needs an SQS client and the queue's URL"))
		}
	}
}

// Handler handles requests to sync, which Lambda reads from the queue. It is safe for concurrent use.
type Handler struct {
	client  table.API
	table   string
	keys    Keys
	list    []Option
	options options
}

// NewHandler returns a handler for the table of that name and for the environments in keys. Handle reports wrong
// options. [Force] and [DryRun] are errors: an automatic sync must not ignore the guards, and must not acknowledge a
// request without writing.
func NewHandler(client table.API, tableName string, keys Keys, options ...Option) *Handler {
	h := &Handler{client: client, table: tableName, keys: keys, list: options, options: newOptions(options)}
	if client == nil || tableName == "" || keys == nil {
		h.options.problems = append(h.options.problems,
			errors.New("a handler needs a DynamoDB client, a table and keys"))
	}
	if h.options.force || h.options.dryRun {
		h.options.problems = append(h.options.problems,
			errors.New("options Force and DryRun are for Sync: a handler has neither"))
	}
	return h
}

// Handle handles the requests of a batch one after the other and logs a line for each. If a request fails and may
// succeed later, the response lists it and all requests after it, so that the queue redelivers them in order: a batch
// of a FIFO queue belongs to one message group. The error is nil, except for wrong options and for a parameter that a
// person must correct, because Lambda slows down all message groups of a function that returns errors.
func (h *Handler) Handle(ctx context.Context, event events.SQSEvent) (response events.SQSEventResponse, err error) {
	for i, record := range event.Records {
		if err = h.handle(ctx, record); err == nil {
			continue
		}
		for _, failed := range event.Records[i:] {
			response.BatchItemFailures = append(response.BatchItemFailures,
				events.SQSBatchItemFailure{ItemIdentifier: failed.MessageId})
		}
		if !h.isConfiguration(err) {
			h.retrySoon(ctx, event.Records[i:])
			err = nil
		}
		return response, err
	}
	return response, nil
}

// isConfiguration reports whether err remains until a person corrects the stack's parameters or the function's
// environment variables.
func (h *Handler) isConfiguration(err error) bool {
	return len(h.options.problems) > 0 || errors.Is(err, parameter.ErrWrong)
}

// handle handles one request. It returns nil if the request is to be acknowledged, which includes requests that are
// held or unreadable.
func (h *Handler) handle(ctx context.Context, record events.SQSMessage) error {
	// The work ends a little before the function's time is up. Otherwise Lambda would kill the function: nothing
	// would be logged, and the request would stay invisible until the queue's visibility timeout ends.
	inTime := ctx
	if end, ok := ctx.Deadline(); ok {
		end = end.Add(-min(reserve, time.Until(end)/2))
		var cancel context.CancelFunc
		inTime, cancel = context.WithDeadlineCause(ctx, end, errors.New("the function's time is up"))
		defer cancel()
	}
	l := &requestLine{record: record, sent: sentTime(record)}
	r, err := request.Parse(record.Body)
	problems := errors.Join(h.options.problems...)
	switch {
	case problems != nil:
		err = fmt.Errorf("configure handler of requests: %w", problems)
	case err != nil:
		l.unreadable = true
	case r.Prefix == nil:
		l.request = r
		err = h.all(inTime, l)
	default:
		l.request = r
		err = h.one(inTime, *r.Prefix, l)
	}
	l.failed = err != nil && !l.unreadable && !errors.Is(err, errHeld)
	l.held = l.held || errors.Is(err, errHeld)
	h.log(ctx, l, err)
	if l.failed {
		return err
	}
	return nil
}

// one handles a request for one environment.
func (h *Handler) one(ctx context.Context, prefix string, l *requestLine) error {
	err := h.checkKey(ctx, prefix)
	if errors.Is(err, errNoKey) && l.request.Reason == "schedule" { // its key was removed a moment ago
		l.removed = true
		return nil
	}
	if err != nil {
		return err
	}
	environment := &table.Environment{Client: h.client, Table: h.table, Prefix: prefix}
	state, err := environment.SyncState(ctx)
	if err != nil {
		return err
	}
	// The last successful sync fetched the flags after the request was sent, so the change was already written.
	if !l.sent.IsZero() && l.sent.Before(state.Synced.Add(-clockSkew)) {
		l.coalesced = true
		return nil
	}
	list := h.list
	if l.request.Reason == "schedule" { // there is no webhook that could be ahead of the stream
		list = append(list[:len(list):len(list)], Linger(-1))
	}
	result, err := New(environment, h.keys, list...).Sync(ctx)
	l.synced = true
	l.held = err == nil && len(result.HeldBack)+len(result.Refused) > 0
	if isFinal(err) {
		return fmt.Errorf("%w: %w", errHeld, err)
	}
	return err
}

// checkKey returns an error if the environment has no SDK key, also after the keys were read again.
func (h *Handler) checkKey(ctx context.Context, prefix string) error {
	for _, refresh := range []bool{false, true} {
		keys, err := h.keys(ctx, refresh)
		if err != nil {
			return err
		}
		if keys[prefix] != "" {
			return nil
		}
	}
	return fmt.Errorf("%w: %w for prefix %q", errHeld, errNoKey, prefix)
}

// isFinal reports whether a sync failed for a reason that no retry can fix.
func isFinal(err error) bool {
	return errors.Is(err, ErrGuard) || errors.Is(err, errFinal) && !errors.Is(err, errKeyUnread)
}

// retrySoon shortens the visibility timeout of failed requests
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html). If that
// fails, the requests are redelivered later, so retrySoon only logs a warning.
func (h *Handler) retrySoon(ctx context.Context, requests []events.SQSMessage) {
	if h.options.queue == nil {
		return
	}
	// The calls must not end with ctx: without them the requests stay invisible until the queue's visibility timeout
	// ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reserve/2)
	defer cancel()
	for _, r := range requests {
		_, err := h.options.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &h.options.queueURL, ReceiptHandle: &r.ReceiptHandle, VisibilityTimeout: retryAfter(requests[0]),
		})
		if err != nil {
			h.options.logger.WarnContext(ctx, "failed request is redelivered only after the visibility timeout",
				"message_id", r.MessageId, "error", err)
		}
	}
}

// retryAfter returns the seconds until a failed request is redelivered.
func retryAfter(r events.SQSMessage) int32 {
	attempts, _ := strconv.Atoi(r.Attributes["ApproximateReceiveCount"]) // 0 if it is missing
	return int32(min(firstRetryAfter<<min(max(attempts, 1)-1, 10), maxRetryAfter))
}

// sentTime returns when the request was sent, by SQS's clock; zero if unknown.
func sentTime(r events.SQSMessage) time.Time {
	ms, err := strconv.ParseInt(r.Attributes["SentTimestamp"], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// requestLine collects the content of a request's log line.
type requestLine struct {
	record  events.SQSMessage
	request request.Request
	sent    time.Time
	// The outcome. A request that was synced can also be failed or held.
	unreadable, coalesced, synced, held, failed bool
	removed                                     bool          // the environment has no SDK key any more
	requests                                    int           // number of requests that a request for all has sent
	oldest                                      time.Duration // highest age of an environment's last sync
	aged                                        bool          // oldest is known
}

// log writes the line of one request. Its metrics' only dimension is the function's name, so that one alarm covers
// all environments. A sync's error is in the sync's own line and is not repeated here.
func (h *Handler) log(ctx context.Context, l *requestLine, err error) {
	level := slog.LevelInfo
	if l.synced {
		err = nil
	}
	if err != nil {
		level = slog.LevelError
	}
	now := time.Now()
	metrics := []emf.Metric{
		emf.Count("RequestsHeld", boolToInt(l.held)),
		emf.Count("RequestsFailed", boolToInt(l.failed)),
		emf.Count("RequestsUnreadable", boolToInt(l.unreadable)),
	}
	if l.aged {
		metrics = append(metrics, emf.Seconds("OldestSyncAge", l.oldest))
	}
	attrs := []slog.Attr{slog.String("reason", l.request.Reason), slog.String("message_id", l.record.MessageId)}
	if l.request.Prefix != nil {
		attrs = append(attrs, slog.String("prefix", *l.request.Prefix))
	}
	if !l.sent.IsZero() {
		attrs = append(attrs, slog.Float64("age_s", now.Sub(l.sent).Seconds()))
	}
	if l.coalesced {
		attrs = append(attrs, slog.Bool("coalesced", true))
	}
	if l.removed {
		attrs = append(attrs, slog.Bool("removed", true))
	}
	if l.requests > 0 {
		attrs = append(attrs, slog.Int("requests_sent", l.requests))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	emf.Log(ctx, h.options.logger, level, "request handled",
		append(attrs, emf.Attrs(now, emf.Function(), metrics)...)...)
}
