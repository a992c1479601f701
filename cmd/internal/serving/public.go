package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
)

const (
	drainTimeout = time.Minute // and as long as a registration may wait
	// BodyTimeout is how long a client may take to send a request.
	BodyTimeout = 30 * time.Second
	// answerTimeout is how long a client may take to read its answer, such as a
	// bundle of up to 16 MiB; artifacts have times of their own.
	answerTimeout = 3 * time.Minute

	// ownFiles is how many descriptors are kept for the log, the index and the
	// management interface, whatever clients do.
	ownFiles        = 256
	mostConnections = 16 << 10
	// operatorsConnections are those of each address that is the operator's: they are
	// of the descriptors that are kept.
	operatorsConnections = 32
)

// NewServer makes a server: who connects and says nothing is not waited for, and what
// the server has to say of connections goes to the log.
func (o *Options) NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(connectionLog{o.Logger}, "", 0),
	}
}

// connectionLog logs each text with one message, whose rate is limited: anybody can
// cause them.
type connectionLog struct{ *slog.Logger }

// Write implements io.Writer.
func (l connectionLog) Write(p []byte) (int, error) {
	l.Warn("connection", "err", strings.TrimSpace(string(p)))
	return len(p), nil
}

// ForOperator bounds the connections of an address that only the operator uses, so
// that even there nobody takes the descriptors that the log needs.
func ForOperator(l net.Listener) net.Listener { return netutil.LimitListener(l, operatorsConnections) }

// Public is the address that everybody may ask. Until it has a handler it answers 503.
type Public struct {
	net.Listener
	o       *Options
	server  *http.Server
	wait    time.Duration
	failed  chan error
	handler atomic.Pointer[http.Handler]
}

// ListenPublic listens, reads the certificate, and begins to answer. An answer may
// take so long.
func (o *Options) ListenPublic(ctx context.Context, wait time.Duration) (*Public, error) {
	var secure *tls.Config
	if o.TLSCert != "" {
		cert, err := LoadCertificate(o.TLSCert, o.TLSKey, o.Logger)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.Get}
	}
	most, err := mostClients(o.Memory)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	p := &Public{Listener: netutil.LimitListener(listener, most), o: o, wait: wait, failed: make(chan error, 1)}
	p.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		busy(w, 5*time.Second, "Starting", "the service starts; try again soon")
	}))
	p.server = o.NewServer(atMost(most, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = o.trusted.client(r)
		(*p.handler.Load()).ServeHTTP(w, r)
	})))
	p.server.ReadTimeout, p.server.WriteTimeout, p.server.TLSConfig = BodyTimeout, wait+answerTimeout, secure
	// Of a body that nobody reads HTTP/2 keeps so much in memory.
	p.server.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: perConnection, MaxReceiveBufferPerStream: perConnection}
	go func() {
		if secure != nil {
			p.failed <- p.server.ServeTLS(p.Listener, "", "")
		} else {
			p.failed <- p.server.Serve(p.Listener)
		}
	}()
	return p, nil
}

// URL is where it can be asked.
func (p *Public) URL() string {
	if p.o.TLSCert != "" {
		return "https://" + p.Addr().String()
	}
	return "http://" + p.Addr().String()
}

// Serve answers with this handler from now on.
func (p *Public) Serve(h http.Handler) { p.handler.Store(&h) }

// Early answers with a handler what matches a pattern, and all else as until now, while
// the service starts.
func (p *Public) Early(pattern string, h http.Handler) {
	mux := http.NewServeMux()
	mux.Handle(pattern, h)
	mux.Handle("/", *p.handler.Load())
	p.Serve(mux)
}

// Close ends everything at once.
func (p *Public) Close() error { return p.server.Close() }

// Drain waits until the context ends. Then new connections are refused and those
// that wait get their answers.
func (p *Public) Drain(ctx context.Context, draining func(context.Context) error) error {
	select {
	case err := <-p.failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	timeout := drainTimeout + p.wait
	p.o.Logger.Info("draining", "timeout", timeout)
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
			busy(w, time.Second, "Service Busy", "the service answers as many requests as it can; try again soon")
		}
	})
}

func busy(w http.ResponseWriter, wait time.Duration, title, detail string) {
	content.Problem(w, &scitt.Problem{Status: http.StatusServiceUnavailable, Title: title, Detail: detail, RetryAfter: wait})
}
