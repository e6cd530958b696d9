package subscriber_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

func TestEndpointDelivers(t *testing.T) {
	s := &sink{}
	h := newEndpoint(t, s, subscriber.Prefix("staging"))
	post(h, oneSigner().sign(t, notification(message("staging", "first"))).json())
	assert.Equal(t, []string{"first", "*"}, s.take(), "what came before this process listened is not known")
	for name, f := range map[string]fields{
		"with a subject":    notification(message("staging", "a", "b")),
		"without a subject": notification(message("staging", "a", "b")).with("Subject", nil),
		"empty subject":     notification(message("staging", "a", "b")).with("Subject", ""),
	} {
		t.Run(name, func(t *testing.T) {
			status, text := post(h, oneSigner().sign(t, f).json())
			assert.Equal(t, http.StatusOK, status, text)
			assert.Equal(t, []string{"a", "b"}, s.take())
		})
	}
	assert.Equal(t, subscriber.Stats{Messages: 4, Changes: 7, InvalidatedAll: 1}, stats(h))

	post(h, oneSigner().sign(t, notification(message("staging"))).json())
	assert.Equal(t, []string{"*"}, s.take(), "an empty message means that anything may have changed")
}

func TestEndpointDropsWhatIsNotForIt(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		status  int
		want    subscriber.Stats
	}{
		"other prefix": {message("", "a"), 200, subscriber.Stats{OtherPrefix: 1}},
		"foreign":      {`{"type":"order.placed"}`, 200, subscriber.Stats{Foreign: 1}},
		"malformed":    {`{"type":"warmflags.changed.v1","data":{}}`, 400, subscriber.Stats{Malformed: 1}},
		"no JSON":      {`flags!`, 400, subscriber.Stats{Malformed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sink{}
			h := newEndpoint(t, s, subscriber.Prefix("staging"))
			status, _ := post(h, oneSigner().sign(t, notification(c.message)).json())
			assert.Equal(t, c.status, status)
			assert.Equal(t, c.want, stats(h))
			assert.Empty(t, s.take())
		})
	}
}

// Every signed field, altered after signing, must break the signature; so must the signature itself.
func TestEndpointRefusesAlteredFields(t *testing.T) {
	later := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	for kind, signed := range map[string]fields{"notification": notification(message("", "a")), "confirmation": confirmation()} {
		signed := oneSigner().sign(t, signed)
		altered := fields{
			"Message": message("", "b"), "MessageId": "other", "Timestamp": later, "Type": "UnsubscribeConfirmation",
			"TopicArn": topic + "x", "SignatureVersion": "3", "Signature": "AAAA",
		}
		if kind == "notification" {
			altered["Subject"] = "other"
		} else {
			altered["Token"], altered["SubscribeURL"] = "other", "https://sns.us-east-1.amazonaws.com/?other"
		}
		for field, value := range altered {
			t.Run(kind+" "+field, func(t *testing.T) {
				s := &sink{}
				h := newEndpoint(t, s, subscriber.SNSClient(&fakeSNS{}))
				status, _ := post(h, signed.with(field, value).json())
				assert.Equal(t, http.StatusForbidden, status)
				assert.Empty(t, s.take())
				assert.Equal(t, subscriber.Stats{Refused: 1}, stats(h))

				status, _ = post(h, signed.json())
				assert.Equal(t, http.StatusOK, status, "the test's own message must be good")
			})
		}
	}
}

func TestEndpointRefuses(t *testing.T) {
	sign := func(f fields) []byte { return oneSigner().sign(t, f).json() }
	good := notification(message("", "a"))
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for name, c := range map[string]struct {
		body   []byte
		status int
		text   string
	}{
		"signed by another":     {newSigner("sns.amazonaws.com").sign(t, good).json(), 403, "signature is wrong"},
		"another topic":         {sign(good.with("TopicArn", topic+"2")), 403, "another topic"},
		"no topic":              {sign(good.with("TopicArn", nil)), 403, "another topic"},
		"no signature":          {good.json(), 403, "signature is wrong"},
		"signature no base64":   {good.with("Signature", "%").json(), 403, "signature is wrong"},
		"unknown type":          {sign(good.with("Type", "Other")), 403, "signature is wrong"},
		"version 1":             {sign(good.with("SignatureVersion", "1")), 403, "SignatureVersion to 2"},
		"no version":            {sign(good.with("SignatureVersion", nil)), 403, "signature is wrong"},
		"too old":               {sign(good.with("Timestamp", at(-76*time.Minute))), 403, "too old"},
		"from the future":       {sign(good.with("Timestamp", at(16*time.Minute))), 403, "too old"},
		"no timestamp":          {sign(good.with("Timestamp", nil)), 400, "timestamp"},
		"lines in a field":      {sign(good.with("MessageId", "1\nSubject\nx").with("Subject", nil)), 403, "signature is wrong"},
		"no JSON":               {[]byte("hello"), 400, "not a message of SNS"},
		"empty":                 {nil, 400, "not a message of SNS"},
		"field of another type": {[]byte(`{"Type":7}`), 400, "not a message of SNS"},
		"huge":                  {bytes.Repeat([]byte(" "), 2<<20+1), 413, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sink{}
			h := newEndpoint(t, s)
			status, text := post(h, c.body)
			assert.Equal(t, c.status, status)
			assert.Contains(t, text, c.text)
			assert.Empty(t, s.take())
			assert.Equal(t, subscriber.Stats{Refused: 1}, stats(h))
		})
	}
	t.Run("GET", func(t *testing.T) {
		h, w := newEndpoint(t, &sink{}), httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		assert.Equal(t, "POST", w.Header().Get("Allow"))
	})
	t.Run("raw delivery", func(t *testing.T) {
		h, w := newEndpoint(t, &sink{}), httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(message("", "a")))
		r.Header.Set("x-amz-sns-rawdelivery", "true")
		h.ServeHTTP(w, r)
		assert.Equal(t, http.StatusBadRequest, w.Code)
		assert.Contains(t, w.Body.String(), "RawMessageDelivery to false")
	})
}

func TestEndpointTakesLateRetriesAndReplays(t *testing.T) {
	s := &sink{}
	h := newEndpoint(t, s)
	body := oneSigner().sign(t, notification(message("", "a")).with("Timestamp", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))).json()
	for _, want := range [][]string{{"a", "*"}, {"a"}} {
		status, _ := post(h, body)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, want, s.take(), "a replay is one more look at the table")
	}
}

func TestEndpointAllowSHA1(t *testing.T) {
	s := &sink{}
	h := newEndpoint(t, s, subscriber.AllowSHA1())
	for version, want := range map[string]string{"1": "a", "2": "b"} {
		status, text := post(h, oneSigner().sign(t, notification(message("", want)).with("SignatureVersion", version)).json())
		assert.Equal(t, http.StatusOK, status, text)
		assert.Contains(t, s.take(), want)
	}
	// A SHA-1 signature does not pass for version 2.
	old := oneSigner().sign(t, notification(message("", "a")).with("SignatureVersion", "1"))
	status, _ := post(h, old.with("SignatureVersion", "2").json())
	assert.Equal(t, http.StatusForbidden, status)
}

// Certificates are asked for at SNS's own host only, whatever a message says.
func TestEndpointPinsTheCertificateHost(t *testing.T) {
	const path = "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
	for _, u := range []string{
		"", path, "//sns.us-east-1.amazonaws.com" + path,
		"http://sns.us-east-1.amazonaws.com" + path,
		"HTTPS://sns.us-east-1.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com.evil.com" + path,
		"https://evil.com" + path,
		"https://evil.com/sns.us-east-1.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com@evil.com" + path,
		"https://user:word@sns.us-east-1.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com:443" + path,
		"https://sns.us-east-1.amazonaws.com:8443" + path,
		"https://sns.us-east-1.amazonaws.com\\@evil.com" + path,
		"https://sns.us-west-2.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com.cn" + path,
		"https://snsxus-east-1.amazonaws.com" + path,
		"https://bucket.s3.us-east-1.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com./" + path,
		"https://sns.us-east-1.amazonaws.com/other" + path,
		"https://sns.us-east-1.amazonaws.com/evil.pem",
		"https://sns.us-east-1.amazonaws.com" + path + "?x=y",
		"https://sns.us-east-1.amazonaws.com" + path + "#x",
		"https://sns.us-east-1.amazonaws.com" + path + "\n",
		"https://sns.us-east-1.amazonaws.com/../SimpleNotificationService-0.pem",
		"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-..%2f0.pem",
		"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-.pem",
	} {
		t.Run(u, func(t *testing.T) {
			asked := 0
			h := newEndpoint(t, &sink{}, subscriber.Certificates(func(context.Context, string) (*x509.Certificate, error) {
				asked++
				return oneSigner().certificate, nil
			}))
			status, text := post(h, oneSigner().sign(t, notification(message("", "a")).with("SigningCertURL", u)).json())
			assert.Equal(t, http.StatusForbidden, status)
			assert.Contains(t, text, "SNS's host")
			assert.Zero(t, asked)
		})
	}
	china := "arn:aws-cn:sns:cn-north-1:123456789012:flags"
	h, err := subscriber.Endpoint(china, &sink{}, subscriber.Certificates(oneSigner().get))
	require.NoError(t, err)
	status, text := post(h, oneSigner().sign(t, notification(message("", "a")).with("TopicArn", china).
		with("SigningCertURL", "https://sns.cn-north-1.amazonaws.com.cn"+path)).json())
	assert.Equal(t, http.StatusOK, status, text)
}

// web is SNS's host: it serves the certificate and confirmations, over real TLS.
type web struct {
	client       *http.Client
	answer       atomic.Pointer[http.HandlerFunc]
	certificates atomic.Int32 // requests for one
	confirmed    atomic.Pointer[http.Request]
}

func newWeb(t *testing.T, s *signer) *web {
	w := &web{}
	ok := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.confirmed.Store(r)
			return
		}
		w.certificates.Add(1)
		_ = pem.Encode(rw, &pem.Block{Type: "CERTIFICATE", Bytes: s.certificate.Raw})
	})
	w.answer.Store(&ok)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.answer.Load())(rw, r) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that a test breaks off
	server.StartTLS()
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	w.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "sns.us-east-1.amazonaws.com:443" {
				return nil, fmt.Errorf("connection to %q", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
	return w
}

func webEndpoint(t *testing.T, w *web, s *sink) http.Handler {
	h, err := subscriber.Endpoint(topic, s, subscriber.HTTPClient(w.client), subscriber.Logger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	return h
}

func TestEndpointFetchesTheCertificateOnce(t *testing.T) {
	w, s := newWeb(t, oneSigner()), &sink{}
	h := webEndpoint(t, w, s)
	for range 3 {
		status, text := post(h, oneSigner().sign(t, notification(message("", "a"))).json())
		assert.Equal(t, http.StatusOK, status, text)
	}
	assert.Equal(t, []string{"a", "*", "a", "a"}, s.take())
	assert.EqualValues(t, 1, w.certificates.Load())
}

func TestEndpointRefusesOtherCertificates(t *testing.T) {
	servePEM := func(c *x509.Certificate) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			_ = pem.Encode(rw, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"of another name": servePEM(newSigner("evil.com").certificate),
		"not found":       func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) },
		"no PEM":          func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("hello")) },
		"broken PEM":      func(rw http.ResponseWriter, _ *http.Request) { _ = pem.Encode(rw, &pem.Block{Type: "CERTIFICATE"}) },
		"a redirect": func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				http.Redirect(rw, r, certURL+"?elsewhere", http.StatusFound)
				return
			}
			servePEM(oneSigner().certificate)(rw, r) // good, but not where we asked
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := newWeb(t, oneSigner()), &sink{}
			good := w.answer.Swap(&answer)
			h := webEndpoint(t, w, s)
			body := oneSigner().sign(t, notification(message("", "a"))).json()
			status, _ := post(h, body)
			assert.Equal(t, http.StatusServiceUnavailable, status, "SNS must try again")
			assert.Equal(t, subscriber.Stats{Errors: 1}, stats(h))
			assert.Empty(t, s.take())

			w.answer.Store(good)
			status, _ = post(h, body)
			assert.Equal(t, http.StatusOK, status, "a failure is not kept")
		})
	}
	t.Run("over TLS of another", func(t *testing.T) {
		w := newWeb(t, oneSigner())
		w.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = x509.NewCertPool()
		h := webEndpoint(t, w, &sink{})
		status, _ := post(h, oneSigner().sign(t, notification(message("", "a"))).json())
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Zero(t, w.certificates.Load())
	})
	t.Run("expired", func(t *testing.T) {
		old := *oneSigner().certificate
		old.NotAfter = time.Now().Add(-time.Minute)
		h := newEndpoint(t, &sink{}, subscriber.Certificates(func(context.Context, string) (*x509.Certificate, error) { return &old, nil }))
		status, _ := post(h, oneSigner().sign(t, notification(message("", "a"))).json())
		assert.Equal(t, http.StatusServiceUnavailable, status)
	})
	t.Run("none", func(t *testing.T) {
		h := newEndpoint(t, &sink{}, subscriber.Certificates(func(context.Context, string) (*x509.Certificate, error) { return nil, nil }))
		status, _ := post(h, oneSigner().sign(t, notification(message("", "a"))).json())
		assert.Equal(t, http.StatusServiceUnavailable, status)
	})
}

func TestEndpointConfirms(t *testing.T) {
	t.Run("at SNS's host, not at the message's address", func(t *testing.T) {
		w, s := newWeb(t, oneSigner()), &sink{}
		h := webEndpoint(t, w, s)
		status, text := post(h, oneSigner().sign(t, confirmation().with("SubscribeURL", "https://evil.com/")).json())
		require.Equal(t, http.StatusOK, status, text)
		assert.Equal(t, "sns.us-east-1.amazonaws.com", w.confirmed.Load().Host)
		q := w.confirmed.Load().URL.Query()
		assert.Equal(t, []string{"ConfirmSubscription", topic, "a+token"}, []string{q.Get("Action"), q.Get("TopicArn"), q.Get("Token")})
		assert.Equal(t, []string{"*"}, s.take(), "what changed before nobody told us")
		assert.Equal(t, subscriber.Stats{Subscribed: 1, InvalidatedAll: 1}, stats(h))
	})
	t.Run("by the API", func(t *testing.T) {
		api, s := &fakeSNS{}, &sink{}
		h := newEndpoint(t, s, subscriber.SNSClient(api))
		status, _ := post(h, oneSigner().sign(t, confirmation()).json())
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, []string{topic + " a+token"}, api.confirmed)
		assert.Equal(t, []string{"*"}, s.take())
	})
	t.Run("again after an error", func(t *testing.T) {
		api, s := &fakeSNS{err: errors.New("down")}, &sink{}
		h := newEndpoint(t, s, subscriber.SNSClient(api))
		status, _ := post(h, oneSigner().sign(t, confirmation()).json())
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Empty(t, s.take())
	})
	t.Run("only its own topic", func(t *testing.T) {
		api := &fakeSNS{}
		h := newEndpoint(t, &sink{}, subscriber.SNSClient(api))
		status, _ := post(h, oneSigner().sign(t, confirmation().with("TopicArn", topic+"2")).json())
		assert.Equal(t, http.StatusForbidden, status)
		assert.Empty(t, api.confirmed)
	})
	t.Run("not the end of a subscription", func(t *testing.T) {
		api, s := &fakeSNS{}, &sink{}
		h := newEndpoint(t, s, subscriber.SNSClient(api))
		status, _ := post(h, oneSigner().sign(t, confirmation().with("Type", "UnsubscribeConfirmation")).json())
		assert.Equal(t, http.StatusOK, status)
		assert.Empty(t, api.confirmed)
		assert.Empty(t, s.take())
	})
}

// The whole of it over HTTP: SNS asks for a confirmation, is visited for it, and then posts a notification.
func TestEndpointOnATopic(t *testing.T) {
	w, s := newWeb(t, oneSigner()), &sink{}
	h := webEndpoint(t, w, s)
	server := httptest.NewTLSServer(h)
	defer server.Close()
	for _, c := range []struct {
		sent fields
		want string
	}{{confirmation(), "*"}, {notification(message("", "a")), "a"}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, bytes.NewReader(oneSigner().sign(t, c.sent).json()))
		require.NoError(t, err)
		r.Header.Set("x-amz-sns-message-type", c.sent["Type"].(string))
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, []string{c.want}, s.take())
	}
	assert.Equal(t, "a+token", w.confirmed.Load().URL.Query().Get("Token"))
	assert.Equal(t, subscriber.Stats{Messages: 1, Changes: 1, InvalidatedAll: 1, Subscribed: 1}, stats(h))
}

// fakeSNS confirms, and has no other method that works.
type fakeSNS struct {
	subscriber.SNS
	confirmed []string
	err       error
}

func (f *fakeSNS) ConfirmSubscription(_ context.Context, in *sns.ConfirmSubscriptionInput, _ ...func(*sns.Options)) (*sns.ConfirmSubscriptionOutput, error) {
	f.confirmed = append(f.confirmed, *in.TopicArn+" "+*in.Token)
	return &sns.ConfirmSubscriptionOutput{}, f.err
}

// FuzzEnvelope looks for a request that panics, or that reaches the sink without the signature of the key.
func FuzzEnvelope(f *testing.F) {
	good := oneSigner().sign(f, notification(message("", "a")))
	f.Add(good.json())
	f.Add(oneSigner().sign(f, confirmation()).json())
	f.Add(good.with("Message", message("", "b")).json())
	f.Add([]byte(`{"TopicArn":"` + topic + `","message":"x","Message":"y"}`))
	s := &sink{}
	h := newEndpoint(f, s, subscriber.AllowSHA1(), subscriber.SNSClient(&fakeSNS{}))
	post(h, good.json())
	s.take() // with what comes once
	f.Fuzz(func(t *testing.T, body []byte) {
		post(h, body)
		// No key but the signer's can say anything else than what was signed above.
		if keys := s.take(); len(keys) > 0 && !slices.Equal(keys, []string{"a"}) && !slices.Equal(keys, []string{"*"}) {
			t.Fatalf("%q reached the sink: %q", keys, body)
		}
	})
}
