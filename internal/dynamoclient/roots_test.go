package dynamoclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// authority signs certificates for the loopback address.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(organization, name string) authority {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{organization}, CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return authority{certificate, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// server returns a server with a certificate of the authority. It answers "ok", and counts connections.
func (a authority) server(t *testing.T, ip net.IP) (server *httptest.Server, connections func() int) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{ip},
		NotBefore: a.certificate.NotBefore, NotAfter: a.certificate.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	require.NoError(t, err)
	var mu sync.Mutex // guards count
	count := 0
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }
	server = httptest.NewUnstartedServer(http.HandlerFunc(ok))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			defer mu.Unlock()
			count++
		}
	}
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, func() int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
}

// The machine trusts amazon and corporate, but not unknown.
var (
	amazon    = newAuthority("Amazon", "Test Root CA 1")
	corporate = newAuthority("Corporate", "Proxy")
	unknown   = newAuthority("Amazon", "Unknown")
)

var loopback = net.IPv4(127, 0, 0, 1)

// The Go library reads the machine's certificates once, so all tests use the same certificates.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	file := filepath.Join(folder, "bundle.pem")
	if err := os.WriteFile(file, append(corporate.pem(), amazon.pem()...), 0o600); err != nil {
		panic(err)
	}
	_ = os.Setenv("SSL_CERT_FILE", file)
	_ = os.Setenv("SSL_CERT_DIR", filepath.Join(folder, "none"))
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

func get(t *testing.T, url string, times int) error {
	client := newHTTPClient()
	for range times {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		require.NoError(t, response.Body.Close())
	}
	return nil
}

func TestAmazonsServersNeedOneConnection(t *testing.T) {
	server, connections := amazon.server(t, loopback)
	require.NoError(t, get(t, server.URL, 1))
	assert.Equal(t, 1, connections())
}

// A company's proxy with its own root certificate costs one additional connection.
func TestOtherServersAreTrustedIfTheMachineTrustsThem(t *testing.T) {
	server, connections := corporate.server(t, loopback)
	server.Config.SetKeepAlivesEnabled(false)
	require.NoError(t, get(t, server.URL, 3))
	assert.Equal(t, 4, connections())
}

func TestUntrustedServersAreRefused(t *testing.T) {
	server, _ := unknown.server(t, loopback)
	var untrusted x509.UnknownAuthorityError
	require.ErrorAs(t, get(t, server.URL, 1), &untrusted, "the name Amazon alone proves nothing")
	server, connections := amazon.server(t, net.IPv4(127, 0, 0, 2))
	var otherHost x509.HostnameError
	require.ErrorAs(t, get(t, server.URL, 1), &otherHost)
	assert.Equal(t, 1, connections())
}

// The name is found in base64 at every position in the certificate.
func TestBase64Forms(t *testing.T) {
	bundle := corporate.pem()
	assert.Nil(t, namingAmazon(bundle))
	for _, name := range []string{"1", "12", "123", "1234", "12345"} {
		bundle = append(bundle, newAuthority(name+"Amazon", name).pem()...)
		bundle = append(bundle, newAuthority("Others", name).pem()...)
	}
	found := namingAmazon(bundle)
	require.NotNil(t, found)
	assert.Len(t, found.Subjects(), 5) //nolint:staticcheck // it is not the system's pool
	assert.Nil(t, namingAmazon([]byte("-----BEGIN CERTIFICATE-----\nQW1hem9u\n")), "a broken bundle")
}
