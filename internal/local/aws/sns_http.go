package aws

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // signature version 1
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

const (
	snsHost         = "sns." + region + ".amazonaws.com"
	certificatePath = "/SimpleNotificationService-10ca1a3510ca1a3510ca1a3510ca1a35.pem"
	timestampLayout = "2006-01-02T15:04:05.000Z"
)

// signer is the key that SNS's messages are signed with, and its certificate. Making a key takes long, so all the
// accounts of a process have the same, made when it is first used.
var signer = sync.OnceValues(func() (*rsa.PrivateKey, []byte) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Errorf("make a signing key: %w", err)) // never without a broken random source
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, DNSNames: []string{"sns.amazonaws.com"},
		// Wide enough for the virtual time of testing/synctest, which begins in 2000.
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(fmt.Errorf("make a signing certificate: %w", err)) // never: the template is constant
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
})

// SigningCertificate is the certificate of the key that the topics' messages are signed with, in PEM.
func (c *Cloud) SigningCertificate() []byte {
	_, certificate := signer()
	return bytes.Clone(certificate)
}

// document is the JSON of an SNS message (https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html).
type document struct {
	Type              string
	MessageId         string //nolint:revive // SNS's name
	Token             string `json:",omitempty"`
	TopicArn          string
	Subject           string `json:",omitempty"`
	Message           string
	SubscribeURL      string `json:",omitempty"`
	Timestamp         string
	SignatureVersion  string
	Signature         string
	SigningCertURL    string
	UnsubscribeURL    string               `json:",omitempty"`
	MessageAttributes map[string]attribute `json:",omitempty"`
}

type attribute struct{ Type, Value string }

// signed returns the document's JSON with its signature
// (https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html).
func (d document) signed() string {
	fields := [][2]string{{"Message", d.Message}, {"MessageId", d.MessageId}}
	if d.Type == "Notification" && d.Subject != "" {
		fields = append(fields, [2]string{"Subject", d.Subject})
	}
	if d.Type != "Notification" {
		fields = append(fields, [2]string{"SubscribeURL", d.SubscribeURL})
	}
	fields = append(fields, [2]string{"Timestamp", d.Timestamp})
	if d.Type != "Notification" {
		fields = append(fields, [2]string{"Token", d.Token})
	}
	fields = append(fields, [2]string{"TopicArn", d.TopicArn}, [2]string{"Type", d.Type})
	var text strings.Builder
	for _, f := range fields {
		text.WriteString(f[0] + "\n" + f[1] + "\n")
	}
	key, _ := signer()
	hash, sum := crypto.SHA256, sha256.Sum256([]byte(text.String()))
	digest := sum[:]
	if d.SignatureVersion == "1" {
		old := sha1.Sum([]byte(text.String())) //nolint:gosec // signature version 1
		hash, digest = crypto.SHA1, old[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, hash, digest)
	if err != nil {
		panic(fmt.Errorf("sign a message: %w", err)) // never: the key is long enough
	}
	d.Signature, d.SigningCertURL = base64.StdEncoding.EncodeToString(signature), "https://"+snsHost+certificatePath
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(d); err != nil {
		panic(fmt.Errorf("encode a message: %w", err)) // never: it holds strings only
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// envelope is the notification as JSON, with mark in place of a subscription's ARN.
func (n *notification) envelope(mark string) string {
	d := document{
		Type: "Notification", MessageId: n.id, TopicArn: n.topic, Subject: n.subject, Message: n.message,
		Timestamp: n.at.UTC().Format(timestampLayout), SignatureVersion: n.version,
		UnsubscribeURL: "https://" + snsHost + "/?Action=Unsubscribe&SubscriptionArn=" + mark,
	}
	for name, a := range n.attributes {
		if d.MessageAttributes == nil {
			d.MessageAttributes = map[string]attribute{}
		}
		value := aws.ToString(a.StringValue)
		if a.StringValue == nil {
			value = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
		d.MessageAttributes[name] = attribute{aws.ToString(a.DataType), value}
	}
	return d.signed()
}

// ask sends an endpoint the request to confirm its subscription. It needs SNS.mu.
func (s *SNS) ask(sub *subscription) {
	sub.token, sub.asked = strings.ReplaceAll(newID()+newID(), "-", ""), time.Now()
	query := url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {sub.topic.arn}, "Token": {sub.token}}
	d := document{
		Type: "SubscriptionConfirmation", MessageId: newID(), Token: sub.token, TopicArn: sub.topic.arn,
		Message:      "You have chosen to subscribe to the topic " + sub.topic.arn + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.",
		SubscribeURL: "https://" + snsHost + "/?" + query.Encode(),
		Timestamp:    time.Now().UTC().Format(timestampLayout), SignatureVersion: sub.topic.attributes["SignatureVersion"],
	}
	to := *sub
	to.attributes = map[string]string{"DeliveryPolicy": sub.attributes["DeliveryPolicy"]}
	s.cloud.background(func(ctx context.Context) {
		s.toEndpoint(ctx, to, post{kind: d.Type, id: d.MessageId, topic: d.TopicArn, body: d.signed()})
	})
}

// post is one request to an endpoint.
type post struct {
	kind, id, topic, body string
	header                map[string]string
}

// errRefused is an endpoint's own no, after which SNS does not ask again: it repeats what failed on the server's side
// (https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html).
var errRefused = errors.New("the endpoint refuses it")

// toEndpoint makes a request, and again after each failure as the delivery policy says, or until ctx ends.
func (s *SNS) toEndpoint(ctx context.Context, to subscription, p post) {
	policy, err := parseDeliveryPolicy(to.attributes["DeliveryPolicy"])
	if err != nil {
		panic(fmt.Errorf("a delivery policy that was accepted: %w", err))
	}
	for attempt := 1; ; attempt++ {
		err := s.cloud.enter(ctx, "Deliver", &Delivery{to.arn, to.protocol, to.endpoint, p.id, p.body, attempt})
		if err == nil {
			err = s.request(ctx, to.endpoint, p)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if attempt > policy.Healthy.Retries || errors.Is(err, ErrLost) || errors.Is(err, errRefused) {
			s.giveUp(to, p.id, err)
			return
		}
		if !pause(ctx, time.Duration(policy.Healthy.Delay)*time.Second) {
			return
		}
	}
}

// newHTTP makes a client as SNS is one: it waits for 15 seconds, and follows no redirect.
func newHTTP() *http.Client {
	return &http.Client{
		Timeout: 15 * time.Second, Transport: http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *SNS) request(ctx context.Context, endpoint string, p post) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(p.body))
	if err != nil {
		return fmt.Errorf("post to %q: %w", endpoint, err)
	}
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	r.Header.Set("User-Agent", "Amazon Simple Notification Service Agent")
	r.Header.Set("x-amz-sns-message-type", p.kind)
	r.Header.Set("x-amz-sns-message-id", p.id)
	r.Header.Set("x-amz-sns-topic-arn", p.topic)
	for name, v := range p.header {
		r.Header.Set(name, v)
	}
	response, err := s.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("post to %q: %w", endpoint, err)
	}
	_, readErr := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if err := errors.Join(readErr, response.Body.Close()); err != nil {
		return fmt.Errorf("post to %q: %w", endpoint, err)
	}
	switch status := response.StatusCode; {
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("post to %q: status %d", endpoint, status)
	case status < 200 || status > 299:
		return fmt.Errorf("post to %q: status %d: %w", endpoint, status, errRefused)
	}
	return nil
}

// RoundTrip makes the account an [http.RoundTripper] for what SNS has on the web: the signing certificate and the URLs
// that confirm a subscription or end it. So an endpoint's HTTP client reaches it without a network. Other URLs are an
// error.
func (c *Cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // of a request that is not read
	}
	if r.URL.Scheme != "https" || r.URL.Host != snsHost {
		return nil, fmt.Errorf("localaws has no %s", r.URL.Redacted())
	}
	respond := func(status int, body string) *http.Response {
		return &http.Response{
			Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
		}
	}
	query, err := r.URL.Query(), error(nil)
	switch {
	case r.URL.Path == certificatePath:
		return respond(http.StatusOK, string(c.SigningCertificate())), nil
	case query.Get("Action") == "ConfirmSubscription":
		var out *sns.ConfirmSubscriptionOutput
		out, err = c.SNS.ConfirmSubscription(r.Context(), &sns.ConfirmSubscriptionInput{TopicArn: aws.String(query.Get("TopicArn")), Token: aws.String(query.Get("Token"))})
		if err == nil {
			return respond(http.StatusOK, fmt.Sprintf("<ConfirmSubscriptionResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><ConfirmSubscriptionResult><SubscriptionArn>%s</SubscriptionArn></ConfirmSubscriptionResult></ConfirmSubscriptionResponse>", *out.SubscriptionArn)), nil
		}
	case query.Get("Action") == "Unsubscribe":
		if _, err = c.SNS.Unsubscribe(r.Context(), &sns.UnsubscribeInput{SubscriptionArn: aws.String(query.Get("SubscriptionArn"))}); err == nil {
			return respond(http.StatusOK, "<UnsubscribeResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"/>"), nil
		}
	default:
		return respond(http.StatusNotFound, ""), nil
	}
	return respond(http.StatusBadRequest, err.Error()), nil
}
