package subscriber

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// Where the trust in a request comes from, in order: the certificate's address is on SNS's own host in the topic's region
// (checkCertificateURL), TLS proves that host when the certificate is fetched (get follows no redirect), the certificate has
// one of SNS's names and is valid now, and its key has signed the message (signature.go). The request itself is believed in
// nothing before that.
const (
	// maxCertificates are kept. SNS signs with one at a time, and replaces it now and then.
	maxCertificates = 8
	// maxFetches are under way at once: forged requests must not become a flood to SNS.
	maxFetches = 2
	// maxFetched is how much of an answer is read, in bytes. A certificate has about 2,000.
	maxFetched = 1 << 16
)

// certificatePath is all but the host of every SigningCertURL. The id is hex so far.
var certificatePath = regexp.MustCompile(`^/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem$`)

// checkCertificateURL wants exactly https://host/SimpleNotificationService-<id>.pem, with no port, user, query or
// escapes. It compares text, so there is no second reading of an odd URL to disagree with.
func checkCertificateURL(s, host string) error {
	prefix := "https://" + host
	if len(s) <= len(prefix) || s[:len(prefix)] != prefix || !certificatePath.MatchString(s[len(prefix):]) {
		return fmt.Errorf("SigningCertURL %q: want %s/SimpleNotificationService-<id>.pem", s, prefix)
	}
	return nil
}

// signerNames are the names that SNS's signing certificates have, of which each must have one. The plain one is
// the rule; AWS's SDK for Java (SnsHostProvider) knows the others for newer, Chinese and GovCloud regions. All are
// AWS's own names, so accepting each of them in any region gives nothing away.
func signerNames(region, suffix string) []string {
	return []string{
		"sns." + suffix, "sns." + region + "." + suffix, "sns-signing." + region + "." + suffix,
		"sns-" + region + "." + suffix, "sns-us-gov-west-1.amazonaws.com",
	}
}

// certificates gets signing certificates and keeps them while they are valid.
//
// A certificate is kept by its URL and never changes. What failed is not kept: the next request tries again.
type certificates struct {
	fetch func(ctx context.Context, url string) (*x509.Certificate, error)
	slots chan struct{} // one for each fetch under way

	mu   sync.Mutex // guards kept
	kept map[string]*x509.Certificate
}

// newCertificates uses custom if there is one. Otherwise certificates come from SNS's host, which TLS proves, and
// must have one of names and be valid now. The chain of the certificate itself is not followed: SNS serves the
// certificate without the ones above it, so that it cannot be from the system's roots alone (others have tried:
// github.com/robbiet480/go.sns issue 8). AWS's own SDKs rely on TLS as well.
func newCertificates(custom func(context.Context, string) (*x509.Certificate, error), client *http.Client, names []string) *certificates {
	c := &certificates{fetch: custom, slots: make(chan struct{}, maxFetches), kept: map[string]*x509.Certificate{}}
	if custom == nil {
		c.fetch = func(ctx context.Context, url string) (*x509.Certificate, error) {
			return fetchCertificate(ctx, client, url, names)
		}
	}
	return c
}

// get returns the certificate at url, which has been checked. It is safe for concurrent use, and waits where as many fetches as
// are allowed are under way. Requests for one new certificate may fetch it maxFetches times, no more.
func (c *certificates) get(ctx context.Context, url string) (*x509.Certificate, error) {
	if certificate := c.cached(url); certificate != nil {
		return certificate, nil
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to fetch certificate %q: %w", url, ctx.Err())
	}
	if certificate := c.cached(url); certificate != nil { // came while we waited
		return certificate, nil
	}
	certificate, err := c.fetch(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("fetch certificate %q: %w", url, err)
	}
	if certificate == nil {
		return nil, fmt.Errorf("fetch certificate %q: there is none", url)
	}
	if err := validNow(certificate); err != nil {
		return nil, fmt.Errorf("fetch certificate %q: %w", url, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxCertificates { // years of replacements, or a test: begin again
		clear(c.kept)
	}
	c.kept[url] = certificate
	return certificate, nil
}

// cached returns nil for what is not kept, or is no longer valid.
func (c *certificates) cached(url string) *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	certificate := c.kept[url]
	if certificate == nil || validNow(certificate) != nil {
		return nil
	}
	return certificate
}

// validNow looks at the certificate's own dates.
func validNow(c *x509.Certificate) error {
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("it is valid from %v to %v only", c.NotBefore, c.NotAfter)
	}
	return nil
}

// fetchCertificate wants a PEM file whose first block is a certificate of one of names.
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
	return nil, fmt.Errorf("it is of %q, not of SNS", certificate.DNSNames)
}

// get fetches a small answer, within ten seconds whatever the client's own limit.
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
