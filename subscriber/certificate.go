package subscriber

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// A request is trusted if all of these are true, checked in this order: the certificate's URL is on SNS's own host in
// the topic's region (checkCertificateURL); TLS proves that host when the certificate is fetched (get follows no
// redirect); the certificate has one of SNS's names and is valid now; its key has signed the message (signature.go).
const (
	// maxCertificates is the largest number of cached certificates. SNS signs with one at a time, and replaces it from
	// time to time.
	maxCertificates = 8
	// forgedPause is the shortest time between a fetch that verified no message and the next fetch.
	forgedPause = time.Minute
	// maxFetched is the largest part of an answer that is read, in bytes. A certificate has about 2,000.
	maxFetched = 1 << 16
)

// certificatePath matches the path of every SigningCertURL. The IDs that SNS has used so far are hexadecimal.
var certificatePath = regexp.MustCompile(`^/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem$`)

// checkCertificateURL requires exactly https://host/SimpleNotificationService-<id>.pem, without port, user, query or
// escapes. It compares text, so that the result does not depend on how a URL is parsed.
func checkCertificateURL(s, host string) error {
	prefix := "https://" + host
	if len(s) <= len(prefix) || s[:len(prefix)] != prefix || !certificatePath.MatchString(s[len(prefix):]) {
		return fmt.Errorf("SigningCertURL %q: want %s/SimpleNotificationService-<id>.pem", s, prefix)
	}
	return nil
}

// signerNames returns the names that SNS's signing certificates can have. The first one is usual. The others are those
// of newer, Chinese and GovCloud regions, as in AWS's SDK for Java (SnsHostProvider). All are AWS's own names, so it is
// safe to accept each of them in any region.
func signerNames(region, suffix string) []string {
	return []string{
		"sns." + suffix, "sns." + region + "." + suffix, "sns-signing." + region + "." + suffix,
		"sns-" + region + "." + suffix, "sns-us-gov-west-1.amazonaws.com",
	}
}

// certificates verifies messages with signing certificates, each of which it fetches once. A certificate is cached by
// its URL after it has verified a message, so forged requests cannot displace it.
//
// Anyone can send a request that names another certificate. So after a fetch that verified no message, there is no
// other fetch for forgedPause. If SNS has just replaced its certificate, its requests get a 503 until then; SNS retries
// after a 503. The latest certificate that has not verified a message is kept too. So a forged request that names the
// right certificate does not delay SNS's next message.
type certificates struct {
	fetch func(ctx context.Context, url string) (*x509.Certificate, error)
	slot  chan struct{} // held during a fetch, so that there is one fetch at a time

	mu        sync.Mutex                   // guards the fields below
	verified  map[string]*x509.Certificate // by URL; these have verified a message
	candidate map[string]*x509.Certificate // by URL, at most one; it has not verified a message yet
	forged    clock.Instant                // when a fetch last verified no message; zero if never
}

// errNoCertificate means that a message cannot be verified now, but perhaps later.
var errNoCertificate = errors.New("the certificate is not available")

// newCertificates fetches with custom. If custom is nil, it fetches certificates from SNS's host, which TLS proves, and
// requires one of names. It does not verify the certificate's chain: SNS serves the certificate without its issuers, so
// the system's roots cannot verify it. AWS's own SDKs rely on TLS too.
func newCertificates(
	custom func(context.Context, string) (*x509.Certificate, error), client *http.Client, names []string,
) *certificates {
	c := &certificates{fetch: custom, slot: make(chan struct{}, 1), verified: map[string]*x509.Certificate{}}
	if custom == nil {
		c.fetch = func(ctx context.Context, url string) (*x509.Certificate, error) {
			return fetchCertificate(ctx, client, url, names)
		}
	}
	return c
}

// verify checks m's signature with the certificate at its SigningCertURL, which checkCertificateURL has accepted. Its
// error wraps errNoCertificate if the certificate is not available now; any other error means that the signature is
// wrong. If another call is fetching, verify waits for it until ctx ends. It is safe for concurrent use.
func (c *certificates) verify(ctx context.Context, m envelope) error {
	if done, err := c.verifyCached(m); done {
		return err
	}
	select {
	case c.slot <- struct{}{}:
		defer func() { <-c.slot }()
	case <-ctx.Done():
		return fmt.Errorf("%w: wait to fetch %q: %w", errNoCertificate, m.SigningCertURL, ctx.Err())
	}
	if done, err := c.verifyCached(m); done { // another request has fetched this or a useless certificate meanwhile
		return err
	}
	// The fetch does not end with the request: otherwise a sender of forged requests that hangs up would fail each
	// fetch as if the host were not reached, and so cause another one without a pause.
	fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	certificate, err := c.fetch(fetchCtx, m.SigningCertURL)
	if err == nil {
		err = checkValidity(certificate)
	}
	if err != nil {
		var unreached *url.Error
		if !errors.As(err, &unreached) {
			c.pause()
		}
		return fmt.Errorf("%w: fetch %q: %w", errNoCertificate, m.SigningCertURL, err)
	}
	return c.verifyWith(m, certificate)
}

// verifyCached verifies m with a cached certificate. If there is none, it returns done during forgedPause, with an
// error, because nothing may be fetched.
func (c *certificates) verifyCached(m envelope) (done bool, err error) {
	c.mu.Lock()
	certificate := c.verified[m.SigningCertURL]
	if certificate == nil {
		certificate = c.candidate[m.SigningCertURL]
	}
	forged := c.forged
	c.mu.Unlock()
	if certificate != nil && checkValidity(certificate) == nil {
		return true, c.verifyWith(m, certificate)
	}
	if forged.Age(clock.Now()) < forgedPause {
		return true, fmt.Errorf("%w: %q is not fetched, because another one verified no message less than %v ago",
			errNoCertificate, m.SigningCertURL, forgedPause)
	}
	return false, nil
}

// verifyWith verifies m, and caches the certificate as verified or as the candidate.
func (c *certificates) verifyWith(m envelope, certificate *x509.Certificate) error {
	err := m.verify(certificate)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		if c.verified[m.SigningCertURL] == nil && len(c.verified) >= maxCertificates { // years of rotations
			clear(c.verified)
		}
		c.verified[m.SigningCertURL] = certificate
	case c.verified[m.SigningCertURL] == nil && c.candidate[m.SigningCertURL] == nil:
		c.candidate = map[string]*x509.Certificate{m.SigningCertURL: certificate}
		c.forged = clock.Now()
	}
	return err
}

// pause prevents fetches for forgedPause.
func (c *certificates) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forged = clock.Now()
}

// checkValidity checks the certificate's own dates.
func checkValidity(c *x509.Certificate) error {
	if c == nil {
		return errors.New("no certificate was returned")
	}
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("the certificate is only valid from %v to %v", c.NotBefore, c.NotAfter)
	}
	return nil
}

// fetchCertificate requires a PEM file whose first block is a certificate with one of names.
func fetchCertificate(ctx context.Context, client *http.Client, url string, names []string) (*x509.Certificate, error) {
	status, body, err := get(ctx, client, url)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("status %d", status)
	}
	block, _ := pem.Decode(body)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the answer is not a PEM certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if certificate.VerifyHostname(name) == nil {
			return certificate, nil
		}
	}
	return nil, fmt.Errorf("the certificate belongs to %q, not to SNS", certificate.DNSNames)
}

// get fetches a small answer. It takes at most callTimeout, or the client's own timeout if that is shorter.
func get(ctx context.Context, client *http.Client, url string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxFetched))
	return response.StatusCode, body, err
}
