package subscriber

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/warmflags/warmflags/change"
)

const (
	// maxBody, in bytes, is enough for SNS's largest message, 256 KB, with every byte escaped, and its envelope.
	maxBody = 2 << 20
	// maxAge is SNS's longest retry time for HTTPS, 3600 seconds, plus some minutes for differences between clocks.
	// See AWS, "Amazon SNS message delivery retries".
	maxAge = 75 * time.Minute
	// maxAhead is how far SNS's clock may be ahead of this process's.
	maxAhead = 15 * time.Minute
)

// endpoint is the handler that [Endpoint] returns. It keeps only counts and certificates between requests.
type endpoint struct {
	*receiver
	settings     settings
	host         string // SNS's host in the topic's region
	certificates *certificates
	first        sync.Once // the first message or confirmation invalidates everything
}

// Endpoint returns the source for a service with a public HTTPS address: the handler to which SNS posts. Subscribe its
// URL with "aws sns subscribe --protocol https", without raw delivery. The handler confirms the subscription to its own
// topic and then invalidates everything; it also does so at its first message. SNS stops retrying a message by default
// within a minute (see AWS, "Amazon SNS message delivery retries"). So configure a longer delivery policy for the
// topic, and a TTL for the sink. The handler also has the method Stats() [Stats].
//
// Every request must have SNS's signature, version 2 (or 1, with [AllowSHA1]), made with a certificate from SNS's own
// host in the topic's region, and must name the topic. A replayed request is accepted for 75 minutes; it costs a read.
//
// With [SNSClient], the subscription is confirmed so that only authenticated calls can end it
// (AuthenticateOnUnsubscribe). If the subscription is ended, no further change arrives. The endpoint then logs an
// error, counts it in Stats.Lost, and invalidates everything.
//
// Status codes: 200 if the sink has the changes or the message was dropped; 400 for a request that cannot be read and
// for raw delivery; 403 if the request is not proved to be from SNS; 405 for a method other than POST; 413 for a body
// that is too large; 503 if the certificate is not available or the confirmation fails. SNS retries only after 5xx.
//
// Endpoint returns an error for wrong options, and for a partition whose SNS host is not known.
func Endpoint(topicARN string, sink change.Sink, options ...Option) (http.Handler, error) {
	s, err := newEndpointSettings(topicARN, sink, options)
	if err != nil {
		return nil, err
	}
	suffix, ok := map[string]string{
		"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu",
	}[s.topic.Partition]
	if !ok {
		return nil, fmt.Errorf("set up subscriber.Endpoint: partition %q of topic %q is not known: use a Queue",
			s.topic.Partition, topicARN)
	}
	e := &endpoint{receiver: newReceiver(s, sink), settings: s, host: "sns." + s.topic.Region + "." + suffix}
	client := *s.endpoint.httpClient // a copy: the caller's client keeps following redirects
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	e.settings.endpoint.httpClient = &client
	e.certificates = newCertificates(s.endpoint.certificates, &client, signerNames(s.topic.Region, suffix))
	return e, nil
}

// Stats returns the counts so far.
func (e *endpoint) Stats() Stats { return e.stats() }

// refusal is a response other than 200.
type refusal struct {
	status int
	reason string // sent in the response, and limits the log lines, so there are few different reasons
	err    error  // details for the log only; nil if there are none
}

func refuse(status int, reason string, err error) *refusal { return &refusal{status, reason, err} }

// ServeHTTP handles one request from SNS.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refused := e.serve(w, r)
	if refused == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	if refused.status < http.StatusInternalServerError {
		e.refused.Add(1)
	} else {
		e.errors.Add(1)
	}
	e.log(slog.LevelWarn, "warmflags: refused a request", refused.reason,
		"status", refused.status, "error", refused.err, "from", r.RemoteAddr)
	if refused.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	http.Error(w, refused.reason, refused.status)
}

// serve does the cheapest checks first, so that nothing is fetched for a request that does not name the topic. Nil
// means 200, also for dropped messages, because a retry would not help.
func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) *refusal {
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "only POST is allowed", nil)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "the body is too large for SNS", nil)
	case err != nil:
		return refuse(http.StatusBadRequest, "the body ended early", err)
	case r.Header.Get("X-Amz-Sns-Rawdelivery") != "":
		return refuse(http.StatusBadRequest, "raw delivery has no signature: set RawMessageDelivery to false", nil)
	}
	var m envelope
	if err := json.Unmarshal(body, &m); err != nil {
		return refuse(http.StatusBadRequest, "the body is not an SNS message", err)
	}
	if refused := e.verify(r.Context(), m); refused != nil {
		return refused
	}
	switch m.Type {
	case typeNotification:
		if e.receive(m.Message) {
			// Earlier messages may have been delivered to another process at this address. Concurrent messages wait for
			// this call, so no message is answered before everything was invalidated.
			e.first.Do(func() { e.invalidateAll("first message of this process") })
		}
	case typeSubscription:
		return e.confirm(r.Context(), m)
	case typeUnsubscription:
		n := e.lost.Add(1)
		e.log(slog.LevelError, "warmflags: the subscription was ended, and no changes will arrive: subscribe again",
			"unsubscribed", "topic", m.TopicArn, "message_id", m.MessageID, "lost", n)
		e.invalidateAll("the subscription was ended")
	}
	return nil
}

// verify proves that m is from SNS, from this topic, and recent. It checks topic, timestamp and certificate URL first,
// before it fetches anything. The signature then proves topic and timestamp; the certificate's host is pinned.
func (e *endpoint) verify(ctx context.Context, m envelope) *refusal {
	if m.TopicArn != e.settings.topic.String() {
		return refuse(http.StatusForbidden, "the message is from another topic", fmt.Errorf("topic %q", m.TopicArn))
	}
	if m.SignatureVersion == "1" && !e.settings.endpoint.allowSHA1 {
		return refuse(http.StatusForbidden, "the signature is version 1: set the topic's SignatureVersion to 2", nil)
	}
	sent, err := time.Parse(time.RFC3339, m.Timestamp)
	if err != nil {
		return refuse(http.StatusBadRequest, "the timestamp cannot be read", err)
	}
	if age := time.Since(sent); age > maxAge || age < -maxAhead {
		err := fmt.Errorf("sent at %s", m.Timestamp)
		return refuse(http.StatusForbidden, "the message is too old, or a clock is wrong", err)
	}
	if err := checkCertificateURL(m.SigningCertURL, e.host); err != nil {
		return refuse(http.StatusForbidden, "the certificate is not from SNS's host", err)
	}
	switch err := e.certificates.verify(ctx, m); {
	case errors.Is(err, errNoCertificate):
		return refuse(http.StatusServiceUnavailable, "the signing certificate is not available now", err)
	case err != nil:
		return refuse(http.StatusForbidden, "the signature is wrong", err)
	}
	return nil
}

// confirm confirms the subscription. It does not request the message's SubscribeURL, but builds the same URL from the
// pinned host and the token. If it fails, SNS retries, as after every 5xx. Then it invalidates everything: changes
// arrive from now on, but earlier ones are not known.
func (e *endpoint) confirm(ctx context.Context, m envelope) *refusal {
	confirm := e.confirmByURL
	if e.settings.sns != nil {
		confirm = e.confirmByAPI
	}
	if err := confirm(ctx, m.Token); err != nil {
		return refuse(http.StatusServiceUnavailable, "the subscription cannot be confirmed", err)
	}
	e.subscribed.Add(1)
	e.logger.Info("warmflags: subscription confirmed", "topic", m.TopicArn)
	e.invalidateAll("subscription confirmed")
	e.first.Do(func() {}) // the next message need not invalidate everything again
	return nil
}

// confirmByAPI confirms with the SNS API. It needs the permission sns:ConfirmSubscription on the topic.
func (e *endpoint) confirmByAPI(ctx context.Context, token string) error {
	topic := e.settings.topic.String()
	_, err := e.settings.sns.ConfirmSubscription(ctx, &sns.ConfirmSubscriptionInput{
		TopicArn: &topic, Token: &token, AuthenticateOnUnsubscribe: aws.String("true"),
	})
	if err != nil {
		return fmt.Errorf("confirm the subscription to topic %q: %w", topic, err)
	}
	return nil
}

// confirmByURL confirms with SNS's web address. It needs no permission, only the token. Afterwards anyone who has the
// message's UnsubscribeURL can end the subscription.
func (e *endpoint) confirmByURL(ctx context.Context, token string) error {
	query := url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {e.settings.topic.String()}, "Token": {token}}
	status, _, err := get(ctx, e.settings.endpoint.httpClient, "https://"+e.host+"/?"+query.Encode())
	var withURL *url.Error
	if errors.As(err, &withURL) { // do not log the URL, which has the token
		err = withURL.Err
	}
	if err != nil {
		return fmt.Errorf("confirm the subscription at %q: %w", e.host, err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("confirm the subscription at %q: status %d: "+
			"subscribe again if the request is older than two days", e.host, status)
	}
	return nil
}
