package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/plain"
)

// serveManagement serves the management interface on a Unix socket, for root
// and the user that the service runs as, and over TLS, for clients with a client
// certificate. It serves until the server is closed or shut down.
func serveManagement(ctx context.Context, c *config, handler http.Handler) (*http.Server, error) {
	server := c.server.NewServer(handler)
	server.ReadTimeout = serving.BodyTimeout
	serve := func(l net.Listener) {
		go func() {
			if err := server.Serve(serving.ForOperator(l)); !errors.Is(err, http.ErrServerClosed) {
				c.Logger.Error("management listener failed", "address", l.Addr().String(), "err", err)
			}
		}()
	}
	switch c.manageSocket {
	case "off":
	case "":
		// Nobody asked for it: a directory whose name is too long for a socket
		// is no reason not to serve.
		l, err := listenSocket(ctx, filepath.Join(c.Dir, "private", "manage.sock"))
		if err != nil {
			c.Logger.Warn("no management socket; --manage-socket gives it another place", "err", err)
			break
		}
		serve(l)
	default:
		l, err := listenSocket(ctx, c.manageSocket)
		if err != nil {
			return nil, fmt.Errorf("--manage-socket: %w", err)
		}
		serve(l)
	}
	if c.manageListen != "" {
		l, err := listenTLS(ctx, c)
		if err != nil {
			server.Close()
			return nil, err
		}
		serve(l)
		c.Logger.Info("management over TLS", "address", l.Addr().String())
	}
	return server, nil
}

// listenSocket makes the socket. The directory is held by this process, so a
// socket that is there was left by one that ended without removing it.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return peerListener{l}, nil
}

// peerListener lets in who the kernel says is root or this user: the mode of
// a socket is not heeded by every system.
type peerListener struct{ net.Listener }

// Accept gives the next connection by somebody who may manage the service.
func (l peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peer(conn)
		if err == nil && (uid == 0 || int(uid) == os.Getuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

// listenTLS asks every client for a certificate by the given authority.
func listenTLS(ctx context.Context, c *config) (net.Listener, error) {
	cert, err := serving.LoadCertificate(c.manageCert, c.manageKey, c.Logger)
	if err != nil {
		return nil, fmt.Errorf("--manage-tls-cert, --manage-tls-key: %w", err)
	}
	pem, err := plain.ReadInput(ctx, c.manageClients, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("--manage-client-ca: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--manage-client-ca: no certificate in %s", c.manageClients)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.manageListen)
	if err != nil {
		return nil, fmt.Errorf("--manage-listen: %w", err)
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: cert.Get,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}), nil
}
