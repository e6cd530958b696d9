package subscriber_test

import (
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
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

// Certificates are fetched only from SNS's own host, whatever URL a message has.
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
			get := func(context.Context, string) (*x509.Certificate, error) {
				asked++
				return oneSigner().certificate, nil
			}
			h := newEndpoint(t, &sink{}, subscriber.Certificates(get))
			f := notification(message("", "a")).with("SigningCertURL", u)
			status, text := post(h, oneSigner().sign(t, f).json())
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

// web is SNS's host. It serves the certificate and confirmations over real TLS.
type web struct {
	client       *http.Client
	answer       atomic.Pointer[http.HandlerFunc]
	certificates atomic.Int32 // number of requests for the certificate
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
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		(*w.answer.Load())(rw, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a test aborts handshakes
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
	h, err := subscriber.Endpoint(topic, s, subscriber.HTTPClient(w.client),
		subscriber.Logger(slog.New(slog.DiscardHandler)))
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
		"another name": servePEM(newSigner("evil.com").certificate),
		"not found":    func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) },
		"not PEM":      func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("hello")) },
		"empty PEM": func(rw http.ResponseWriter, _ *http.Request) {
			_ = pem.Encode(rw, &pem.Block{Type: "CERTIFICATE"})
		},
		"a redirect": func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				http.Redirect(rw, r, certURL+"?elsewhere", http.StatusFound)
				return
			}
			servePEM(oneSigner().certificate)(rw, r) // the right certificate at another URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := newWeb(t, oneSigner()), &sink{}
			good := w.answer.Swap(&answer)
			h := webEndpoint(t, w, s)
			body := oneSigner().sign(t, notification(message("", "a"))).json()
			status, _ := post(h, body)
			assert.Equal(t, http.StatusServiceUnavailable, status, "SNS must retry")
			assert.Equal(t, subscriber.Stats{Errors: 1}, stats(h))
			assert.Empty(t, s.take())

			w.answer.Store(good)
			status, _ = post(h, body)
			assert.Equal(t, http.StatusServiceUnavailable, status, "there is no second fetch for a minute")
			assert.Zero(t, w.certificates.Load())
		})
	}
}

func TestEndpointRefusesUntrustedCertificates(t *testing.T) {
	t.Run("TLS proves another host", func(t *testing.T) {
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
		get := func(context.Context, string) (*x509.Certificate, error) { return &old, nil }
		h := newEndpoint(t, &sink{}, subscriber.Certificates(get))
		status, _ := post(h, oneSigner().sign(t, notification(message("", "a"))).json())
		assert.Equal(t, http.StatusServiceUnavailable, status)
	})
	t.Run("none", func(t *testing.T) {
		get := func(context.Context, string) (*x509.Certificate, error) { return nil, nil }
		h := newEndpoint(t, &sink{}, subscriber.Certificates(get))
		status, _ := post(h, oneSigner().sign(t, notification(message("", "a"))).json())
		assert.Equal(t, http.StatusServiceUnavailable, status)
	})
}

// snsHost is SNS's host without a network.
type snsHost struct {
	certificates map[string]*x509.Certificate // by URL
	fetches      int
	down         bool
	onFetch      func() // called during a fetch; may be nil
}

func (h *snsHost) RoundTrip(r *http.Request) (*http.Response, error) {
	h.fetches++
	if h.onFetch != nil {
		h.onFetch()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if h.down {
		return nil, errors.New("no route to host")
	}
	w := httptest.NewRecorder()
	if c := h.certificates[r.URL.String()]; c != nil {
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	} else {
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

// certificateURL returns the URL of the nth certificate on SNS's host.
func certificateURL(n int) string {
	return fmt.Sprintf("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-%032x.pem", n)
}

// from returns a valid message that names the nth certificate.
func from(t *testing.T, n int) []byte {
	return oneSigner().sign(t, notification(message("", "a")).with("SigningCertURL", certificateURL(n))).json()
}

// A forged request can name any certificate on SNS's host. Forged requests make the endpoint fetch at most once a
// minute. They displace no certificate, and do not prevent that SNS's next certificate is fetched.
func TestForgedRequestsFetchOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &snsHost{certificates: map[string]*x509.Certificate{certificateURL(1): oneSigner().certificate}}
		h, err := subscriber.Endpoint(topic, &sink{}, subscriber.HTTPClient(&http.Client{Transport: host}),
			subscriber.Logger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		requireStatus := func(want int, body []byte) {
			t.Helper()
			status, text := post(h, body)
			require.Equal(t, want, status, text)
		}
		requireStatus(http.StatusOK, from(t, 1))
		require.Equal(t, 1, host.fetches)
		for n := range 100 {
			requireStatus(http.StatusServiceUnavailable, from(t, 1000+n))
		}
		require.Equal(t, 2, host.fetches, "only the first forged request makes a fetch")
		requireStatus(http.StatusOK, from(t, 1))
		time.Sleep(59 * time.Second)
		requireStatus(http.StatusServiceUnavailable, from(t, 2000))
		require.Equal(t, 2, host.fetches)

		host.certificates[certificateURL(2)] = oneSigner().certificate // SNS signs with a new certificate
		requireStatus(http.StatusServiceUnavailable, from(t, 2))
		time.Sleep(time.Second)
		requireStatus(http.StatusOK, from(t, 2))
		requireStatus(http.StatusOK, from(t, 1))
		require.Equal(t, 3, host.fetches)
		forged := oneSigner().sign(t, notification("x").with("SigningCertURL", certificateURL(2))).with("Message", "y")
		requireStatus(http.StatusForbidden, forged.json())
		require.Equal(t, 3, host.fetches)
	})
}

// A sender that hangs up during the fetch does not make it fail, so it cannot cause a fetch with each request.
func TestForgedRequestsThatHangUpFetchOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &snsHost{certificates: map[string]*x509.Certificate{certificateURL(1): oneSigner().certificate}}
		h, err := subscriber.Endpoint(topic, &sink{}, subscriber.HTTPClient(&http.Client{Transport: host}),
			subscriber.Logger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		hangUpDuringFetch := func(body []byte) int {
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			host.onFetch = hangUp
			status, _ := postUntil(ctx, h, body)
			return status
		}
		for n := range 20 {
			require.Equal(t, http.StatusServiceUnavailable, hangUpDuringFetch(from(t, 1000+n)))
		}
		require.Equal(t, 1, host.fetches, "only the first forged request makes a fetch")
		time.Sleep(time.Minute)
		require.Equal(t, http.StatusOK, hangUpDuringFetch(from(t, 1)), "SNS itself may hang up too")
		require.Equal(t, 2, host.fetches)
	})
}

func TestFetchesThatAreNotForged(t *testing.T) {
	newHost := func(t *testing.T) (*snsHost, http.Handler) {
		host := &snsHost{certificates: map[string]*x509.Certificate{certificateURL(1): oneSigner().certificate}}
		h, err := subscriber.Endpoint(topic, &sink{}, subscriber.HTTPClient(&http.Client{Transport: host}),
			subscriber.Logger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		return host, h
	}
	t.Run("a forged request that names the right certificate first", func(t *testing.T) {
		host, h := newHost(t)
		forged := oneSigner().sign(t, notification("x").with("SigningCertURL", certificateURL(1))).with("Message", "y")
		for range 10 {
			status, _ := post(h, forged.json())
			assert.Equal(t, http.StatusForbidden, status)
		}
		status, _ := post(h, from(t, 1))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, 1, host.fetches)
	})
	t.Run("SNS's host cannot be reached", func(t *testing.T) {
		host, h := newHost(t)
		host.down = true
		status, _ := post(h, from(t, 1))
		assert.Equal(t, http.StatusServiceUnavailable, status)
		host.down = false
		status, _ = post(h, from(t, 1))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, 2, host.fetches)
	})
}
