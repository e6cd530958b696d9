package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/warmflags/warmflags/internal/clock"
)

const (
	// Group is the one message group of the queue's requests, so that one synchronization runs at a time. Other
	// senders to the queue, such as a schedule, use it too.
	Group = "sync"

	// signatureHeader holds the hex of an HMAC-SHA256 of the body, with the webhook's secret as key
	// (https://launchdarkly.com/docs/home/infrastructure/webhooks#sign-a-webhook).
	signatureHeader = "X-LD-Signature"
	// maxBody is more than Lambda can be handed: 6 MB, in base64.
	maxBody = 5 << 20
	// sendTimeout limits SendMessage, with the SDK's retries in it.
	sendTimeout = 10 * time.Second
)

// Request is the body of a message in the queue.
type Request struct {
	// Reason is why somebody asks: "webhook", from here.
	Reason string `json:"reason"`
	// SHA256 is the hex of the webhook body's hash. It makes each event's request different from the others.
	SHA256 string `json:"sha256"`
}

// SQS is what [Handler] uses of *sqs.Client.
type SQS interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Option sets up a [Handler].
type Option func(*Handler) error

// Logger gets one line for each request. Default: [slog.Default].
func Logger(logger *slog.Logger) Option {
	return func(h *Handler) error {
		if logger == nil {
			return errors.New("option Logger: the logger is nil")
		}
		h.logger = logger
		return nil
	}
}

// RefreshInterval is how often, at most, a wrong signature makes the handler read the secrets again. Default: one
// minute. Zero and negative are errors: whoever sends wrong signatures would drive the calls.
func RefreshInterval(interval time.Duration) Option {
	return func(h *Handler) error {
		h.refreshInterval = interval
		if interval <= 0 {
			return fmt.Errorf("option RefreshInterval: %v is not positive", interval)
		}
		return nil
	}
}

// Stats counts the requests since the handler was made, by what became of them.
type Stats struct {
	// Queued requests were answered with 202.
	Queued int64
	// Refused requests were answered with a 4xx: something is wrong with them.
	Refused int64
	// Failed requests were answered with a 5xx: something is wrong here.
	Failed int64
}

// Handler verifies webhooks and queues requests. It is made by [New] and safe for concurrent use.
type Handler struct {
	queueURL        string
	secrets         Secrets
	client          SQS
	logger          *slog.Logger
	refreshInterval time.Duration
	// err is what is wrong with the arguments; no request is served then.
	err error

	// Counts of Stats's fields, each of its own.
	queued, refused, failed atomic.Int64

	// mu guards refreshed.
	mu sync.Mutex
	// refreshed is when a wrong signature last caused the secrets to be read; zero: never.
	refreshed clock.Instant
}

// New makes a handler that sends to the FIFO queue at queueURL. What is wrong with its arguments is reported by
// Handle, and by ServeHTTP as status 500 and a line in the log.
func New(queueURL string, secrets Secrets, client SQS, options ...Option) *Handler {
	h := &Handler{queueURL: queueURL, secrets: secrets, client: client, logger: slog.Default(), refreshInterval: time.Minute}
	var errs []error
	if queueURL == "" {
		errs = append(errs, errors.New("the queue's URL is empty"))
	}
	if secrets == nil {
		errs = append(errs, errors.New("secrets is nil"))
	}
	if client == nil {
		errs = append(errs, errors.New("the SQS client is nil"))
	}
	for _, o := range options {
		errs = append(errs, o(h))
	}
	if err := errors.Join(errs...); err != nil {
		h.err = fmt.Errorf("set up the webhook: %w", err)
	}
	return h
}

// Stats returns the counts so far.
func (h *Handler) Stats() Stats {
	return Stats{Queued: h.queued.Load(), Refused: h.refused.Load(), Failed: h.failed.Load()}
}

// request is a webhook as either kind of server has it.
type request struct {
	id, method, from string
	// signatures are the header's values: one, if all is well.
	signatures []string
	// body reads the body. Its error is an [answer].
	body func() ([]byte, error)
}

// answer is a response, and an error: why it is not 202.
type answer struct {
	status int
	// text is for the sender, who may be anybody.
	text string
	// cause is for the log; may be nil.
	cause error
}

// Error is what the sender is told, without the cause.
func (a *answer) Error() string { return a.text }

// handle serves a request: it answers, counts, and logs one line. An error of accept that is no answer, such as wrong options,
// is a 500 whose cause only the log tells: the sender may be anybody.
func (h *Handler) handle(ctx context.Context, r request) *answer {
	began := time.Now()
	sum, size, err := h.accept(ctx, r)
	a := &answer{status: http.StatusAccepted, text: "queued"}
	// Where the error is an answer, As puts it in the place of "queued".
	if err != nil && !errors.As(err, &a) {
		a = &answer{http.StatusInternalServerError, "internal error", err}
	}
	level := slog.LevelInfo
	switch {
	case a.status == http.StatusAccepted:
		h.queued.Add(1)
	case a.status < http.StatusInternalServerError:
		h.refused.Add(1)
		level = slog.LevelWarn
	default:
		h.failed.Add(1)
		level = slog.LevelError
	}
	h.logger.Log(ctx, level, "webhook", "status", a.status, "answer", a.text, "error", a.cause, "method", r.method,
		"bytes", size, "sha256", sum, "from", r.from, "request_id", r.id, "duration", time.Since(began))
	return a
}

// accept queues the request, or returns an [answer] that says why not. In order: method, size, signature, queue;
// the cheap before the dear. It returns the body's hash and size for the log, once they are known.
func (h *Handler) accept(ctx context.Context, r request) (sum string, size int, err error) {
	if h.err != nil {
		return "", 0, h.err
	}
	if r.method != http.MethodPost {
		return "", 0, &answer{http.StatusMethodNotAllowed, "only POST is allowed", nil}
	}
	body, err := r.body()
	if err != nil {
		return "", 0, err
	}
	hash := sha256.Sum256(body)
	sum = hex.EncodeToString(hash[:])
	if err := h.verify(ctx, body, r.signatures); err != nil {
		return sum, len(body), err
	}
	return sum, len(body), h.send(ctx, sum)
}

// verify wants exactly one signature, of any of the secrets. A wrong one may be of a secret that is newer than
// those we hold: then they are read again, at most once an interval.
func (h *Handler) verify(ctx context.Context, body []byte, signatures []string) error {
	switch {
	case len(signatures) == 0:
		return &answer{http.StatusUnauthorized, "header " + signatureHeader + " is missing: check \"Sign this webhook\" in LaunchDarkly", nil}
	case len(signatures) > 1:
		return &answer{http.StatusUnauthorized, "header " + signatureHeader + " is there more than once", nil}
	}
	signature, err := hex.DecodeString(signatures[0])
	if err != nil || len(signature) != sha256.Size {
		return &answer{http.StatusUnauthorized, "header " + signatureHeader + " is not the hex of a SHA-256", nil}
	}
	matched, err := h.matches(ctx, body, signature, false)
	if err == nil && !matched && h.mayRefresh() {
		matched, err = h.matches(ctx, body, signature, true)
	}
	switch {
	case err != nil:
		return &answer{http.StatusServiceUnavailable, "the secrets cannot be read now", err}
	case !matched:
		return &answer{http.StatusUnauthorized, "the signature is wrong", nil}
	}
	return nil
}

// matches compares in constant time, with every secret.
func (h *Handler) matches(ctx context.Context, body, signature []byte, refresh bool) (bool, error) {
	secrets, err := h.secrets(ctx, refresh)
	if err != nil {
		return false, err
	}
	if len(secrets) == 0 {
		return false, errors.New("there is no secret")
	}
	matched := false // no early return: how long it takes says nothing about which secret it was
	for _, secret := range secrets {
		if secret == "" { // anybody can sign with an empty key
			return false, errors.New("a secret is empty")
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), signature) {
			matched = true
		}
	}
	return matched, nil
}

// mayRefresh is true at most once an interval, for all requests together. The interval begins with the attempt, whether the
// secrets can be read or not.
func (h *Handler) mayRefresh() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := clock.Now()
	if h.refreshed.Age(now) < h.refreshInterval {
		return false
	}
	h.refreshed = now
	return true
}

// send puts the request into the queue. SQS drops another one with the same hash for five minutes, and says nothing of it: a
// second try of LaunchDarkly is answered with 202 as well, and its request is the one that is there already.
func (h *Handler) send(ctx context.Context, sum string) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	body, err := json.Marshal(Request{Reason: "webhook", SHA256: sum})
	if err != nil {
		return err
	}
	text, group := string(body), Group
	_, err = h.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &h.queueURL, MessageBody: &text, MessageGroupId: &group, MessageDeduplicationId: &sum,
	})
	if err != nil {
		return &answer{http.StatusServiceUnavailable, "the queue cannot be reached now", fmt.Errorf("send to queue %q: %w", h.queueURL, err)}
	}
	return nil
}
