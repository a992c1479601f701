package serving

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
)

// WarnShared warns of a file with a private key that others on the machine may read. A file
// may have a public key instead, or the URI of a key.
func WarnShared(logger *slog.Logger, file string) {
	info, err := os.Stat(file)
	if err != nil || !plain.Shared(info) {
		return
	}
	if data, err := plain.ReadFile(file, 1<<20); err != nil || bytes.Contains(data, []byte("PRIVATE")) {
		logger.Warn("others on this machine may read a private key; chmod 600 it", "file", file)
	}
}

// Certificate is a TLS certificate in two files, which are read again when
// they change: certificates are renewed every few weeks, and a log is not
// restarted for that.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu      sync.Mutex
	changed [2]time.Time // when the files that were read last were written
	current *tls.Certificate
}

// LoadCertificate reads the files for the first time.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	WarnShared(logger, keyFile)
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	var err error
	if c.changed, err = c.written(); err != nil {
		return nil, err
	}
	c.current, err = c.read()
	return c, err
}

func (c *Certificate) read() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	return &cert, err
}

func (c *Certificate) written() (at [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

// Get gives a handshake the certificate. Where the files cannot be read, or
// do not fit each other because one of them is not written yet, the last good
// one goes on.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, err := c.written()
	if err != nil || at == c.changed {
		return c.current, nil
	}
	c.changed = at
	cert, err := c.read()
	if err != nil {
		c.logger.Error("the renewed certificate cannot be used; the one before goes on", "file", c.certFile, "err", err)
		return c.current, nil
	}
	c.current = cert
	c.logger.Info("the certificate was renewed", "file", c.certFile)
	return cert, nil
}
