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

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/warmflags/warmflags/change"
)

const (
	// maxBody holds SNS's largest message, 256 KB, with every byte of it escaped, and the envelope.
	maxBody = 2 << 20
	// maxAge is SNS's longest time of retries for HTTPS, 3600 seconds, and some minutes for clocks.
	// See AWS, "Amazon SNS message delivery retries".
	maxAge = 75 * time.Minute
	// maxAhead is how far SNS's clock may be ahead of ours.
	maxAhead = 15 * time.Minute
)

// endpoint is the handler that [Endpoint] returns. It keeps nothing of a request: its only states are the counts and the
// certificates.
type endpoint struct {
	*receiver
	settings     settings
	host         string // of SNS, in the topic's region
	certificates *certificates
	begin        sync.Once // the first message, or a confirmation before it: invalidates everything
}

// Endpoint is the source for a service with a public HTTPS address: the handler that SNS posts to. It confirms its
// own topic's subscription by itself (make it with "aws sns subscribe --protocol https", without raw delivery),
// and then invalidates everything, as it does at the first message that it hears. What SNS could not deliver it gives up,
// by default after a minute (see AWS, "Amazon SNS message delivery retries"): give the topic a longer delivery policy, and
// the sink a TTL that bounds what is missed. The handler also has the method Stats() [Stats].
//
// Every request must carry SNS's signature, version 2 (or 1, with [AllowSHA1]), by a certificate from SNS's own
// host in the topic's region, and name the topic. A replayed request is not recognized for 75 minutes, and does
// no harm: it costs a read.
//
// Its answers: 200 when the sink has the changes, or they are another's to have; 400 for what cannot be read and
// for raw delivery; 403 for what is not proved to be SNS's; 405 and 413; 503 when a certificate or a confirmation
// cannot be had now. SNS tries again after a 5xx only.
//
// Its error is about wrong options, and regions whose SNS has no known address.
func Endpoint(topicARN string, sink change.Sink, options ...Option) (http.Handler, error) {
	s, err := newSettings(ofEndpoint, topicARN, sink, options)
	if err != nil {
		return nil, err
	}
	suffix, ok := map[string]string{
		"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu",
	}[s.topic.Partition]
	if !ok {
		return nil, fmt.Errorf("set up subscriber.Endpoint: partition %q of topic %q is not known: use a Queue", s.topic.Partition, topicARN)
	}
	e := &endpoint{receiver: newReceiver(s, sink), settings: s, host: "sns." + s.topic.Region + "." + suffix}
	// A copy: the caller's client goes on following redirects.
	client := *s.httpClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	e.settings.httpClient = &client
	e.certificates = newCertificates(s.certificates, &client, signerNames(s.topic.Region, suffix))
	return e, nil
}

// Stats returns the counts so far.
func (e *endpoint) Stats() Stats { return e.stats() }

// refusal is an answer that is not 200.
type refusal struct {
	status int
	// reason is one of few, sent and logged; complain goes by it.
	reason string
	// err is for the log only; nil when the reason says it all.
	err error
}

func refuse(status int, reason string, err error) *refusal { return &refusal{status, reason, err} }

// ServeHTTP answers one request of SNS.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	no := e.serve(w, r)
	if no == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	// A 5xx is counted in Errors, and a malformed message as such.
	if no.status < http.StatusInternalServerError && no.reason != string(malformed) {
		e.refused.Add(1)
	}
	e.complain(slog.LevelWarn, "warmflags: refused request", no.reason, "status", no.status, "error", no.err, "from", r.RemoteAddr)
	if no.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	http.Error(w, no.reason, no.status)
}

// serve checks what costs least first: nothing is fetched for a request that does not name the topic. Nil means 200, also for
// messages of other prefixes and other programs, which nobody's repetition would make ours.
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
		return refuse(http.StatusBadRequest, "raw delivery has no signature: set the subscription's RawMessageDelivery to false", nil)
	}
	var m envelope
	if err := json.Unmarshal(body, &m); err != nil {
		return refuse(http.StatusBadRequest, "the body is not a message of SNS", err)
	}
	if no := e.verify(r.Context(), m); no != nil {
		return no
	}
	switch m.Type {
	case typeNotification:
		switch e.receive(m.Message) {
		case malformed:
			return refuse(http.StatusBadRequest, string(malformed), nil)
		case delivered:
			// What came to an earlier process of this address, or to nobody, is not known here. Concurrent messages
			// wait for the first: none is answered before everything was invalidated.
			e.begin.Do(func() { e.invalidateAll("first message of this process") })
		}
	case typeSubscription:
		return e.confirm(r.Context(), m)
	case typeUnsubscription:
		e.logger.Warn("warmflags: the subscription was ended: no changes will come", "topic", m.TopicArn, "message_id", m.MessageID)
	}
	return nil
}

// verify proves that m is SNS's, of this topic, and of late. All but the signature is checked before the signature, and is
// proved by it: topic and timestamp are signed, and the certificate's address is pinned.
func (e *endpoint) verify(ctx context.Context, m envelope) *refusal {
	if m.TopicArn != e.settings.topic.String() {
		return refuse(http.StatusForbidden, "the message is of another topic", fmt.Errorf("topic %q", m.TopicArn))
	}
	if m.SignatureVersion == "1" && !e.settings.allowSHA1 {
		return refuse(http.StatusForbidden, "the signature is version 1: set the topic's SignatureVersion to 2, or AllowSHA1", nil)
	}
	sent, err := time.Parse(time.RFC3339, m.Timestamp)
	if err != nil {
		return refuse(http.StatusBadRequest, "the timestamp cannot be read", err)
	}
	if age := time.Since(sent); age > maxAge || age < -maxAhead {
		return refuse(http.StatusForbidden, "the message is too old, or a clock is wrong", fmt.Errorf("sent at %s", m.Timestamp))
	}
	if err := checkCertificateURL(m.SigningCertURL, e.host); err != nil {
		return refuse(http.StatusForbidden, "the certificate is not from SNS's host", err)
	}
	certificate, err := e.certificates.get(ctx, m.SigningCertURL)
	if err != nil {
		e.errors.Add(1)
		return refuse(http.StatusServiceUnavailable, "the signing certificate cannot be had", err)
	}
	if err := m.verify(certificate); err != nil {
		return refuse(http.StatusForbidden, "the signature is wrong", err)
	}
	return nil
}

// confirm accepts the subscription. It does not visit the message's SubscribeURL, but makes the same address from
// the pinned host and the token. When it fails SNS asks again, as after each 5xx. Everything is invalidated after it: from
// now on changes come, and nobody knows what came before.
func (e *endpoint) confirm(ctx context.Context, m envelope) *refusal {
	confirm := e.confirmByURL
	if e.settings.sns != nil {
		confirm = e.confirmByAPI
	}
	if err := confirm(ctx, m.Token); err != nil {
		e.errors.Add(1)
		return refuse(http.StatusServiceUnavailable, "the subscription cannot be confirmed", err)
	}
	e.subscribed.Add(1)
	e.logger.Info("warmflags: subscription confirmed", "topic", m.TopicArn)
	e.invalidateAll("subscription confirmed")
	e.begin.Do(func() {}) // which that was, too
	return nil
}

// confirmByAPI needs sns:ConfirmSubscription on the topic.
func (e *endpoint) confirmByAPI(ctx context.Context, token string) error {
	topic := e.settings.topic.String()
	_, err := e.settings.sns.ConfirmSubscription(ctx, &sns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token})
	if err != nil {
		return fmt.Errorf("confirm the subscription to topic %q: %w", topic, err)
	}
	return nil
}

// confirmByURL needs no permission: the token is one.
func (e *endpoint) confirmByURL(ctx context.Context, token string) error {
	query := url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {e.settings.topic.String()}, "Token": {token}}
	status, _, err := get(ctx, e.settings.httpClient, "https://"+e.host+"/?"+query.Encode())
	var withURL *url.Error
	if errors.As(err, &withURL) { // it names the URL, and so the token
		err = withURL.Err
	}
	if err != nil {
		return fmt.Errorf("confirm the subscription at %q: %w", e.host, err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("confirm the subscription at %q: status %d: subscribe again if the token is older than two days", e.host, status)
	}
	return nil
}
