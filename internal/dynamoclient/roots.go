package dynamoclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Before its first TLS connection, a Go program parses all root certificates of the machine, about 140. That takes
// longer than everything else in the connection. DynamoDB's certificates are signed by Amazon. So tlsDialer first
// verifies the server with the few root certificates that name Amazon, and with all of them only if that fails. So it
// trusts exactly what the machine trusts.

// certificateFiles are the paths where Linux distributions store the root certificates, as in crypto/x509. The first is
// that of Amazon Linux.
var certificateFiles = []string{
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem",
}

// handshakeLimit is the timeout of one handshake. A transport's own timeout does not apply to its DialTLSContext.
const handshakeLimit = 10 * time.Second

// amazonRoots returns the machine's root certificates that name Amazon, or nil if there are none.
var amazonRoots = sync.OnceValue(func() *x509.CertPool {
	files := certificateFiles
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		files = []string{file}
	}
	for _, file := range files {
		if rest, err := os.ReadFile(file); err == nil {
			return namingAmazon(rest)
		}
	}
	return nil
})

// namingAmazon returns the certificates of a bundle that name Amazon, or nil if there are none. It searches the encoded
// certificates for the name, because decoding all of them takes half as long as parsing them. It misses a certificate
// in which line breaks split every occurrence of the name. If it finds no certificate, all certificates are used.
func namingAmazon(bundle []byte) *x509.CertPool {
	begin := []byte("-----BEGIN CERTIFICATE-----")
	pool, found := x509.NewCertPool(), false
	for _, name := range base64Forms("Amazon") {
		for rest := bundle; ; {
			at := bytes.Index(rest, name)
			if at < 0 {
				break
			}
			block, after := pem.Decode(rest[max(0, bytes.LastIndex(rest[:at], begin)):])
			if block == nil {
				break
			}
			if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
				pool.AddCert(certificate) // adding it twice has no effect
				found = true
			}
			rest = after
		}
	}
	if !found {
		return nil
	}
	return pool
}

// base64Forms returns the three forms of a name in base64, which encodes three bytes as four characters. Each form
// omits the characters at its ends that depend on the bytes around the name.
func base64Forms(name string) (forms [][]byte) {
	for before := range 3 {
		encoded := base64.StdEncoding.AppendEncode(nil, append(make([]byte, before), name...))
		forms = append(forms, encoded[(before*8+5)/6:(before+len(name))*8/6])
	}
	return forms
}

// tlsDialer makes the TLS connections of a transport.
type tlsDialer struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // the transport's DialContext
	config  *tls.Config                                                          // the transport's TLSClientConfig
	useFull atomic.Bool                                                          // Amazon's roots were not enough
}

// newHTTPClient returns the AWS SDK's default HTTP client with a tlsDialer.
func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialTLSContext = (&tlsDialer{dial: t.DialContext, config: t.TLSClientConfig}).dialTLS
	})
}

func (d *tlsDialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	if roots := amazonRoots(); roots != nil && !d.useFull.Load() {
		conn, err := d.handshake(ctx, network, address, roots)
		if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
			return conn, err
		}
		d.useFull.Store(true)
	}
	return d.handshake(ctx, network, address, nil)
}

// handshake makes a connection. It verifies the server with roots, or with all of the machine's roots if roots is nil.
func (d *tlsDialer) handshake(ctx context.Context, network, address string, roots *x509.CertPool) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	raw, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := d.config.Clone()
	config.ServerName, config.RootCAs = host, roots
	conn := tls.Client(raw, config)
	ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}
