package subscriber_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/subscriber"
)

const (
	topic   = "arn:aws:sns:us-east-1:000000000000:flags"
	certURL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
)

// sink records its calls. While blocked is not nil, Invalidate waits for it.
type sink struct {
	mu      sync.Mutex // guards all fields
	keys    []string   // in order; "*" for InvalidateAll
	blocked chan struct{}
}

func (s *sink) Invalidate(changes ...change.Change) {
	s.mu.Lock()
	blocked := s.blocked
	s.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.keys = append(s.keys, c.Key)
	}
}

func (s *sink) InvalidateAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, "*")
}

// take returns the keys since the last take.
func (s *sink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.keys = nil }()
	return s.keys
}

// message returns the JSON of a message with changes of these keys.
func message(prefix string, keys ...string) string {
	m := change.Message{ID: "1", Prefix: prefix}
	for _, k := range keys {
		m.Changes = append(m.Changes, change.Change{Kind: change.KindFeatures, Key: k, Version: 1})
	}
	return string(must(json.Marshal(m)))
}

// signer is SNS's key and certificate.
type signer struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// newSigner creates a certificate for name, issued by its own CA. It is valid now, and in the virtual time of synctest.
func newSigner(name string) *signer {
	ca, key := must(rsa.GenerateKey(rand.Reader, 2048)), must(rsa.GenerateKey(rand.Reader, 2048))
	parent := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA"}, IsCA: true,
		BasicConstraintsValid: true}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), ca))
	return &signer{key, must(x509.ParseCertificate(der))}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

var oneSigner = sync.OnceValue(func() *signer { return newSigner("sns.amazonaws.com") })

func (s *signer) get(context.Context, string) (*x509.Certificate, error) { return s.certificate, nil }

// fields are a message's name-value pairs.
type fields map[string]any

// notification returns an unsigned message as SNS sends it.
func notification(body string) fields {
	return fields{
		"Type": "Notification", "MessageId": "22b80b92", "TopicArn": topic, "Subject": "a subject", "Message": body,
		"Timestamp":        time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"SignatureVersion": "2", "SigningCertURL": certURL,
		"UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
	}
}

func confirmation() fields {
	f := notification("You have chosen to subscribe.\nTo confirm, visit the SubscribeURL.")
	delete(f, "Subject")
	delete(f, "UnsubscribeURL")
	return f.with("Type", "SubscriptionConfirmation").with("Token", "a+token").
		with("SubscribeURL", "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=a%2Btoken")
}

func (f fields) with(name string, value any) fields {
	g := fields{}
	for k, v := range f {
		g[k] = v
	}
	if value == nil {
		delete(g, name)
	} else {
		g[name] = value
	}
	return g
}

// sign signs a message. It is written from AWS's documentation, independently of the code under test.
func (s *signer) sign(t testing.TB, f fields) fields {
	t.Helper()
	var names []string
	signed := strings.Fields("Message MessageId Subject SubscribeURL Timestamp Token TopicArn Type")
	for name := range f {
		if slices.Contains(signed, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		text.WriteString(name + "\n" + f[name].(string) + "\n")
	}
	hash, sum := crypto.SHA256, sha256.Sum256([]byte(text.String()))
	digest := sum[:]
	if f["SignatureVersion"] == "1" {
		old := sha1.Sum([]byte(text.String()))
		hash, digest = crypto.SHA1, old[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, hash, digest)
	require.NoError(t, err)
	return f.with("Signature", base64.StdEncoding.EncodeToString(signature))
}

func (f fields) json() []byte { return must(json.Marshal(f)) }

// post sends a body as SNS does and returns the status and the answer.
func post(h http.Handler, body []byte) (int, string) { return postUntil(context.Background(), h, body) }

// postUntil posts for a sender that hangs up when ctx ends.
func postUntil(ctx context.Context, h http.Handler, body []byte) (int, string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// newEndpoint creates an endpoint that trusts oneSigner's certificate.
func newEndpoint(t testing.TB, s change.Sink, options ...subscriber.Option) http.Handler {
	t.Helper()
	options = append([]subscriber.Option{
		subscriber.Certificates(oneSigner().get), subscriber.Logger(slog.New(slog.DiscardHandler)),
	}, options...)
	h, err := subscriber.Endpoint(topic, s, options...)
	require.NoError(t, err)
	return h
}

func stats(h http.Handler) subscriber.Stats { return h.(interface{ Stats() subscriber.Stats }).Stats() }
