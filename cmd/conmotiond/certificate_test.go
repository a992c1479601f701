package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// certificateFiles writes a certificate by itself with this name and its key.
func certificateFiles(t *testing.T, name, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	key := testlog.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der := testlog.Must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)
	private := testlog.Must(scitt.MarshalPrivateKey(key))(t)
	for file, data := range map[string][]byte{certFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyFile: private} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return testlog.Must(x509.ParseCertificate(der))(t)
}

// TestTLS: the public service over TLS, with a certificate that is renewed
// while it runs.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	args := []string{"--dir", filepath.Join(dir, "log"), "--listen", "127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile}
	refused := exec.Command(testlog.Must(os.Executable())(t), args...)
	refused.Env = append(os.Environ(), beConmotiond+"=1")
	if out, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(out), "--tls-cert, --tls-key: ") {
		t.Errorf("without the files: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "log")); err == nil {
		t.Error("a log was made that cannot be served")
	}
	roots := x509.NewCertPool()
	first := certificateFiles(t, "first", certFile, keyFile)
	roots.AddCert(first)
	p := start(t, nil, nil, args...)
	if !strings.HasPrefix(p.url, "https://") {
		t.Fatalf("the service is %s", p.url)
	}
	served := func() string {
		t.Helper()
		transport := &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
		resp := testlog.Must((&http.Client{Transport: transport}).Get(p.url + "/checkpoint"))(t)
		defer resp.Body.Close()
		if body := testlog.Must(io.ReadAll(resp.Body))(t); resp.StatusCode != http.StatusOK || len(body) == 0 || resp.ProtoMajor != 2 {
			t.Errorf("%s %s %q", resp.Proto, resp.Status, body)
		}
		return resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Errorf("the certificate is %q", got)
	}
	roots.AddCert(certificateFiles(t, "second", certFile, keyFile))
	if got := served(); got != "second" {
		t.Errorf("renewed, the certificate is %q", got)
	}
	// A key that does not fit, as between two writes: the last good pair goes on.
	certificateFiles(t, "third", filepath.Join(dir, "other.pem"), keyFile)
	if got := served(); got != "second" {
		t.Errorf("with another key, the certificate is %q", got)
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.stderr)
	}
}

// TestCertificateGone: files that are not there any more are no reason to stop.
func TestCertificateGone(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	want := certificateFiles(t, "first", certFile, keyFile)
	c := testlog.Must(serving.LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler)))(t)
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if got := testlog.Must(c.Get(nil))(t); string(got.Certificate[0]) != string(want.Raw) {
		t.Error("another certificate")
	}
}
