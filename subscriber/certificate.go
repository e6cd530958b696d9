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

// A request is trusted because of these facts, in order: the certificate's address is on SNS's own host in the topic's
// region (checkCertificateURL); TLS proves that host when the certificate is fetched (get follows no redirect); the
// certificate has one of SNS's names and is valid now; its key has signed the message (signature.go).
const (
	// maxCertificates is how many certificates are cached. SNS signs with one at a time and replaces it now and then.
	maxCertificates = 8
	// forgedPause is the shortest time between a fetch that verified no message and the next fetch.
	forgedPause = time.Minute
	// maxFetched is how much of an answer is read, in bytes. A certificate has about 2,000.
	maxFetched = 1 << 16
)

// certificatePath is every SigningCertURL without its host. The ID is hexadecimal so far.
var certificatePath = regexp.MustCompile(`^/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem$`)

// checkCertificateURL requires exactly https://host/SimpleNotificationService-<id>.pem, without port, user, query or
// escapes. It compares text, so no second parser can read an odd URL differently.
func checkCertificateURL(s, host string) error {
	prefix := "https://" + host
	if len(s) <= len(prefix) || s[:len(prefix)] != prefix || !certificatePath.MatchString(s[len(prefix):]) {
		return fmt.Errorf("SigningCertURL %q: want %s/SimpleNotificationService-<id>.pem", s, prefix)
	}
	return nil
}

// signerNames returns the names of SNS's signing certificates, of which each must have one. The first is usual; AWS's
// SDK for Java (SnsHostProvider) knows the others for newer, Chinese and GovCloud regions. All are AWS's own names, so
// accepting each of them in any region is safe.
func signerNames(region, suffix string) []string {
	return []string{
		"sns." + suffix, "sns." + region + "." + suffix, "sns-signing." + region + "." + suffix,
		"sns-" + region + "." + suffix, "sns-us-gov-west-1.amazonaws.com",
	}
}

// certificates verifies messages with signing certificates, which it fetches once. A certificate is cached by its URL
// once it has verified a message, so forged requests cannot displace one.
//
// Anyone can send a request that names another certificate. So after a fetch that verified no message, the next one
// waits for forgedPause: SNS retries after a 503, and the new certificate of a rotation is fetched then. The last
// certificate that was fetched and has verified nothing yet is kept too, so that a forged request that names the right
// one does no harm.
type certificates struct {
	fetch func(ctx context.Context, url string) (*x509.Certificate, error)
	slot  chan struct{} // held during a fetch: there is one at a time

	mu        sync.Mutex // guards the following
	verified  map[string]*x509.Certificate
	candidate map[string]*x509.Certificate // one at most
	forged    clock.Instant                // when a fetch last verified no message; zero: long ago
}

// errNoCertificate means that a message cannot be verified now, and perhaps later.
var errNoCertificate = errors.New("the certificate is not available")

// newCertificates uses custom unless it is nil. Otherwise certificates come from SNS's host, which TLS proves, and must
// have one of names. The certificate's chain is not followed: SNS serves the certificate without its issuers, so the
// system's roots cannot verify it. AWS's own SDKs rely on TLS as well.
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

// verify checks m's signature with the certificate at its SigningCertURL, whose form was checked. Its error wraps
// errNoCertificate if the certificate is not available now; otherwise the signature is wrong. It waits for a fetch
// under way, and is safe for concurrent use.
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
	if done, err := c.verifyCached(m); done { // another request fetched it, or a forged one
		return err
	}
	certificate, err := c.fetch(ctx, m.SigningCertURL)
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

// verifyCached verifies m with a certificate that is cached, or refuses to fetch one during forgedPause.
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

// verifyWith verifies m, and caches the certificate according to the result.
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
		return errors.New("there is none")
	}
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("it is valid from %v to %v only", c.NotBefore, c.NotAfter)
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
	return nil, fmt.Errorf("it belongs to %q, not to SNS", certificate.DNSNames)
}

// get fetches a small answer, within callTimeout whatever the client's own limit.
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
