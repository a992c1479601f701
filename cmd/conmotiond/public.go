package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"

	"github.com/conmotion/conmotion/scitt"
)

const (
	drainTimeout = time.Minute // and as long as a registration may wait
	bodyTimeout  = 30 * time.Second
	// answerTimeout is how long a client may take to read its answer, such as a
	// bundle of up to 16 MiB; artifacts have times of their own.
	answerTimeout = 3 * time.Minute

	// ownFiles is how many descriptors are kept for the log, the index and the
	// management interface, whatever clients do.
	ownFiles        = 256
	mostConnections = 16 << 10
)

// public is the address that everybody may ask. Until the service is open it
// answers 503.
type public struct {
	net.Listener
	c       *config
	server  *http.Server
	failed  chan error
	handler atomic.Pointer[http.Handler]
}

// listenPublic listens, reads the certificate, and begins to answer.
func (c *config) listenPublic(ctx context.Context) (*public, error) {
	if c.tlsCert != "" {
		cert, err := loadCertificate(c.tlsCert, c.tlsKey, c.Logger)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		c.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	most, err := mostClients(c.memory)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	p := &public{Listener: netutil.LimitListener(listener, most), c: c, failed: make(chan error, 1)}
	p.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		busy(w, 5, "Starting", "the service starts; try again soon")
	}))
	p.server = &http.Server{
		Handler: atMost(most, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = c.trustedProxies.client(r)
			(*p.handler.Load()).ServeHTTP(w, r)
		})),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      c.Wait + answerTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         c.tls,
		// Of a body that nobody reads HTTP/2 keeps so much in memory.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: perConnection, MaxReceiveBufferPerStream: perConnection},
	}
	go func() {
		if c.tls != nil {
			p.failed <- p.server.ServeTLS(p.Listener, "", "")
		} else {
			p.failed <- p.server.Serve(p.Listener)
		}
	}()
	return p, nil
}

// url is where it can be asked.
func (p *public) url() string {
	if p.c.tls != nil {
		return "https://" + p.Addr().String()
	}
	return "http://" + p.Addr().String()
}

// serve answers with this handler from now on.
func (p *public) serve(h http.Handler) { p.handler.Store(&h) }

// drain waits until the context ends. Then new connections are refused and those
// that wait get their answers.
func (p *public) drain(ctx context.Context, draining func(context.Context) error) error {
	select {
	case err := <-p.failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	timeout := drainTimeout + p.c.Wait
	p.c.Logger.Info("draining", "timeout", timeout)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	return errors.Join(draining(drain), p.server.Shutdown(drain))
}

// mostClients is how many connections may be open at a time, and how many
// requests may run. Each needs memory and a descriptor, and a request may read a
// file. Go has raised the process's limit to what the system allows.
func mostClients(memory int64) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("how many files may be open: %w", err)
	}
	if limit.Cur < 2*ownFiles {
		return 0, fmt.Errorf("only %d files may be open at a time, and %d are needed; raise the limit (ulimit -n)", limit.Cur, 2*ownFiles)
	}
	return int(min((limit.Cur-ownFiles)/2, uint64(memory/perConnection), mostConnections)), nil
}

// atMost runs at most n requests at a time, of which a connection may have many.
func atMost(n int, next http.Handler) http.Handler {
	slots := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			busy(w, 1, "Service Busy", "the service answers as many requests as it can; try again soon")
		}
	})
}

func busy(w http.ResponseWriter, seconds int, title, detail string) {
	p := scitt.Problem{Status: http.StatusServiceUnavailable, Title: title, Detail: detail}
	w.Header().Set("Retry-After", fmt.Sprint(seconds))
	w.Header().Set("Content-Type", scitt.ProblemMediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Marshal()) // the client is gone: nobody to tell
}
