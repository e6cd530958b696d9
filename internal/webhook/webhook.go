package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/internal/request"
)

const (
	// maxBody, in bytes, is more than Lambda can receive, which is 6 MB in base64.
	maxBody = 5 << 20
	// sendTimeout limits SendMessage, including the SDK's retries.
	sendTimeout = 10 * time.Second
)

// SQS is the part of *sqs.Client that a [Handler] uses.
type SQS interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Option configures a [Handler].
type Option func(*Handler) error

// Logger sets the logger, which gets one line for each request. Default: [slog.Default]. Nil is an error.
func Logger(logger *slog.Logger) Option {
	return func(h *Handler) error {
		if logger == nil {
			return errors.New("option Logger: the logger is nil")
		}
		h.logger = logger
		return nil
	}
}

// RefreshInterval sets the shortest time between two reads of the secrets that wrong signatures cause. Default: one
// minute. Zero and negative values are errors, because then every wrong signature would cause a call.
func RefreshInterval(interval time.Duration) Option {
	return func(h *Handler) error {
		h.refreshInterval = interval
		if interval <= 0 {
			return fmt.Errorf("option RefreshInterval: %v is not positive", interval)
		}
		return nil
	}
}

// Stats counts the requests since the handler was created, by their answer.
type Stats struct {
	// Queued counts requests that were queued and answered with 202.
	Queued int64
	// Refused counts wrong requests, which were answered with a 4xx.
	Refused int64
	// Failed counts requests that the handler could not queue and answered with a 5xx.
	Failed int64
}

// Handler verifies webhooks and queues requests to sync. Create one with [New]. It is safe for concurrent use.
type Handler struct {
	queueURL        string
	secrets         Secrets
	client          SQS
	logger          *slog.Logger
	refreshInterval time.Duration
	// err names all wrong arguments. If it is not nil, every request fails.
	err error

	// The fields of Stats. Each is read and written independently of the others.
	queued, refused, failed atomic.Int64

	// mu guards refreshed.
	mu sync.Mutex
	// refreshed is when a wrong signature last caused the secrets to be read; zero if never.
	refreshed clock.Instant
}

// New returns a handler that sends to the FIFO queue at queueURL. If arguments are wrong, Handle returns an error that
// names all of them, and ServeHTTP answers with status 500 and logs them.
func New(queueURL string, secrets Secrets, client SQS, options ...Option) *Handler {
	h := &Handler{
		queueURL: queueURL, secrets: secrets, client: client, logger: slog.Default(), refreshInterval: time.Minute,
	}
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

// hook is a webhook, received by Handle or ServeHTTP.
type hook struct {
	id, method, from string
	// prefix is the prefix in the path; empty if the path has none.
	prefix string
	// signatures are the values of the signature header. A valid webhook has exactly one.
	signatures []string
	// body reads the body. Its errors are answers.
	body func() ([]byte, error)
}

// answer is a response. As an error, it is the reason why the response is not 202.
type answer struct {
	status int
	// text is sent to the client, which may not be LaunchDarkly.
	text string
	// cause is logged but not sent; may be nil.
	cause error
}

// Error returns the text that is sent, without the cause.
func (a *answer) Error() string { return a.text }

// handle returns the answer to a request, counts it, and logs one line. For an error of accept that is not an answer,
// such as wrong arguments, it answers 500; the cause is only in the log.
func (h *Handler) handle(ctx context.Context, r hook) *answer {
	began := time.Now()
	sum, size, err := h.accept(ctx, r)
	a := &answer{status: http.StatusAccepted, text: "queued"}
	// If the error is an answer, As assigns it to a.
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
		"prefix", r.prefix, "signed", len(r.signatures) > 0, "bytes", size, "sha256", sum, "from", r.from,
		"request_id", r.id, "duration", time.Since(began))
	return a
}

// accept queues a request to sync, or returns an answer with the reason why not. It does the cheapest checks first:
// method, prefix, size, signature, queue. It returns the body's hash and size for the log if it has read the body.
func (h *Handler) accept(ctx context.Context, r hook) (sum string, size int, err error) {
	if h.err != nil {
		return "", 0, h.err
	}
	if r.method != http.MethodPost {
		return "", 0, &answer{http.StatusMethodNotAllowed, "only POST is allowed", nil}
	}
	if !utf8.ValidString(r.prefix) {
		return "", 0, &answer{http.StatusBadRequest, "the prefix in the path is not UTF-8", nil}
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
	return sum, len(body), h.send(ctx, r.prefix, sum)
}

// verify requires exactly one signature, made with any of the secrets. A signature that does not match may be made with
// a new secret, so verify then reads the secrets again, at most once per interval.
func (h *Handler) verify(ctx context.Context, body []byte, signatures []string) error {
	switch {
	case len(signatures) == 0:
		return &answer{http.StatusUnauthorized,
			"header " + SignatureHeader + " is missing: check \"Sign this webhook\" in LaunchDarkly", nil}
	case len(signatures) > 1:
		return &answer{http.StatusUnauthorized, "header " + SignatureHeader + " occurs more than once", nil}
	}
	signature, err := hex.DecodeString(signatures[0])
	if err != nil || len(signature) != sha256.Size {
		return &answer{http.StatusUnauthorized, "header " + SignatureHeader + " is not a SHA-256 in hex", nil}
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

// matches reports whether the signature was made with one of the secrets. It compares in constant time.
func (h *Handler) matches(ctx context.Context, body, signature []byte, refresh bool) (bool, error) {
	secrets, err := h.secrets(ctx, refresh)
	if err != nil {
		return false, err
	}
	if len(secrets) == 0 {
		return false, errors.New("the list of secrets is empty")
	}
	matched := false // no early return, because the time must not depend on which secret matches
	for _, secret := range secrets {
		if secret == "" { // everyone can sign with an empty key
			return false, errors.New("a secret is empty")
		}
		if hmac.Equal(sum(secret, body), signature) {
			matched = true
		}
	}
	return matched, nil
}

// mayRefresh returns true at most once per interval, for all requests together. The interval begins with the attempt to
// read the secrets, even if it fails.
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

// send puts a request to sync into the queue, for the environment with the prefix, or for all if it is empty. For five
// minutes SQS drops a second request with the same cause without an error, so LaunchDarkly's second attempt is answered
// with 202 too.
func (h *Handler) send(ctx context.Context, prefix, sum string) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r := request.Request{Reason: "webhook", Cause: sum}
	if prefix != "" {
		r.Prefix = &prefix
	}
	m, err := r.Message()
	if err != nil {
		return err
	}
	_, err = h.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &h.queueURL, MessageBody: &m.Body,
		MessageGroupId: &m.Group, MessageDeduplicationId: &m.DeduplicationID,
	})
	if err != nil {
		err = fmt.Errorf("send to queue %q: %w", h.queueURL, err)
		return &answer{http.StatusServiceUnavailable, "the queue cannot be reached now", err}
	}
	return nil
}
