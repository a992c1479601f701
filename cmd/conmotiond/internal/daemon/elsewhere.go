package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// mark is in the header Via of what a replica hands on. It goes one hop and no
// further.
//
// RFC 9110 section 7.6.3: "The "Via" header field indicates the presence of
// intermediate protocols and recipients between the user agent and the server".
// It "can be used for tracking message forwards, avoiding request loops".
const mark = "1.1 conmotion"

// elsewhere is the log's writer when that is another instance. It answers 503 while
// nobody knows where.
type elsewhere struct {
	proxy  *httputil.ReverseProxy
	logger *slog.Logger

	mu      sync.Mutex
	address *url.URL        // nil when it is not known
	is      context.Context // ends when the writer is another one
	ended   context.CancelFunc
}

// newElsewhere hands requests on to a service with this issuer, which takes wait for
// its answer.
func newElsewhere(issuer string, wait time.Duration, logger *slog.Logger) *elsewhere {
	e := &elsewhere{logger: logger, is: context.Background(), ended: func() {}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // it is one of us
	transport.DialContext = (&net.Dialer{Timeout: 2 * time.Second}).DialContext
	transport.MaxIdleConnsPerHost = 256
	transport.ResponseHeaderTimeout = wait + answerTimeout
	transport.DisableCompression = true // what a client asked for is passed on
	e.proxy = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			to, _ := r.In.Context().Value(addressKey{}).(*url.URL)
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.SetXForwarded() // RemoteAddr is the client's, as --trusted-proxies has it
			r.Out.Header.Add("Via", mark)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				e.logger.WarnContext(r.Context(), "the writer does not answer", "path", r.URL.Path, "err", err)
			}
			noWriter(w, r, "the writer of this log does not answer; the same request can be sent again")
		},
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	if u, err := url.Parse(issuer); err == nil {
		transport.DialTLSContext = dialTLS(transport.DialContext, u.Hostname())
	}
	return e
}

// dialTLS expects of an IP address the certificate of the service, which all instances
// have, and of a name that of the name.
func dialTLS(dial func(context.Context, string, string) (net.Conn, error), service string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		name, _, _ := net.SplitHostPort(address)
		if _, err := netip.ParseAddr(name); err == nil {
			name = service
		}
		secure := tls.Client(conn, &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12})
		return secure, secure.HandshakeContext(ctx)
	}
}

// answerTimeout is how much longer than a registration waits an answer may take.
const answerTimeout = 15 * time.Second

type addressKey struct{}

// set says who the writer is; "" when nobody is. What another one was asked for ends.
func (e *elsewhere) set(address string) {
	u, err := url.Parse(address)
	if address == "" || err != nil {
		u = nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.address == nil && u == nil || e.address != nil && u != nil && *e.address == *u {
		return
	}
	e.ended()
	e.address = u
	e.is, e.ended = context.WithCancel(context.Background())
}

// ServeHTTP hands a request on.
func (e *elsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	address, is := e.address, e.is
	e.mu.Unlock()
	switch {
	case handedOn(r):
		noWriter(w, r, "another instance takes this one for the writer of the log, and it is not")
		return
	case address == nil:
		noWriter(w, r, "the log has no writer at this moment; another instance takes over within seconds")
		return
	}
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), addressKey{}, address))
	defer cancel()
	defer context.AfterFunc(is, cancel)()
	// The answer has the headers of the one that gives it.
	clear(w.Header())
	e.proxy.ServeHTTP(w, r.WithContext(ctx))
}

// handedOn reports whether another instance handed the request on. A proxy of some host
// may have a name that begins like the mark.
func handedOn(r *http.Request) bool {
	for hop := range strings.SplitSeq(strings.Join(r.Header.Values("Via"), ","), ",") {
		if strings.TrimSpace(hop) == mark {
			return true
		}
	}
	return false
}

func noWriter(w http.ResponseWriter, r *http.Request, detail string) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Cache-Control", "no-store")
	writeProblem(w, r, http.StatusServiceUnavailable, "No Writer", detail)
}

// advertised is the address under which others reach an instance that listens at this
// URL: where it listens, or, where that is on every address, the one that leads to
// the database.
func advertised(listens, database string) (string, error) {
	u, err := url.Parse(listens)
	if err != nil || !everyAddress(listens) {
		return listens, err
	}
	conn, err := net.Dial("udp", database) // nothing is sent
	if err != nil {
		return "", fmt.Errorf("--advertise: give the URL under which the other instances reach this one: %w", err)
	}
	defer conn.Close()
	local, _, err := net.SplitHostPort(conn.LocalAddr().String())
	u.Host = net.JoinHostPort(local, cmp.Or(u.Port(), "80"))
	return u.String(), err
}
