package serving

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

// TestAtMost: a request that finds no place is told to come again.
func TestAtMost(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := atMost(1, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave }))
	done := make(chan struct{})
	go func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		close(done)
	}()
	<-entered
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	p, err := scitt.ParseProblem(w.Code, w.Body.Bytes())
	if err != nil || w.Code != http.StatusServiceUnavailable || p.Title != "Service Busy" || w.Header().Get("Retry-After") != "1" {
		t.Errorf("status %d %v %v %v", w.Code, w.Header(), p, err)
	}
	close(leave)
	<-done
	go func() { <-entered }()
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusOK {
		t.Errorf("with a place again: status %d", w.Code)
	}
}

// TestStarting: who asks before the service is open is told so at once.
func TestStarting(t *testing.T) {
	o := &Options{Listen: "127.0.0.1:0", Memory: leastMemory}
	p := testlog.Must(o.ListenPublic(t.Context(), 0))(t)
	defer p.Close()
	req := testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/checkpoint", nil))(t)
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusNotFound} {
		resp := testlog.Must(http.DefaultClient.Do(req))(t)
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("status %d, want %d", resp.StatusCode, want)
		}
		p.Serve(http.NotFoundHandler())
	}
}

// TestClientAddress: handlers, and so rates and logs, see the client of a trusted proxy, and
// of nobody else what a header says.
func TestClientAddress(t *testing.T) {
	for proxy, want := range map[string]string{"127.0.0.1": "203.0.113.9:0", "192.0.2.7": "127.0.0.1:"} {
		o := &Options{Listen: "127.0.0.1:0", Memory: leastMemory, trusted: testlog.Must(parseProxies([]string{proxy}))(t)}
		p := testlog.Must(o.ListenPublic(t.Context(), 0))(t)
		p.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
		req := testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL(), nil))(t)
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		resp := testlog.Must(http.DefaultClient.Do(req))(t)
		if got := testlog.Must(io.ReadAll(resp.Body))(t); !strings.HasPrefix(string(got), want) {
			t.Errorf("%s is trusted, and the client is %s", proxy, got)
		}
		resp.Body.Close()
		p.Close()
	}
}

// TestOperatorConnections: who holds all connections of an operator's address keeps
// out others there, and opens no more; what a server says of connections is logged in
// the log's form, with a limit.
func TestOperatorConnections(t *testing.T) {
	var out synced
	o := &Options{AdminListen: "127.0.0.1:0", Logger: slog.New(newRated(slog.NewJSONHandler(&out, nil)))}
	var entered atomic.Int32
	leave := make(chan struct{})
	stop := testlog.Must(o.ServeAdmin(t.Context(), prometheus.NewRegistry(), func(mux *http.ServeMux) {
		mux.HandleFunc("GET /hold", func(http.ResponseWriter, *http.Request) { entered.Add(1); <-leave })
	}))(t)
	defer stop()
	var said struct{ Address string }
	if err := json.Unmarshal([]byte(out.String()), &said); err != nil {
		t.Fatal(err)
	}
	hold := func() {
		conn := testlog.Must(net.Dial("tcp", said.Address))(t)
		t.Cleanup(func() { conn.Close() })
		testlog.Must(io.WriteString(conn, "GET /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))(t)
	}
	for range operatorsConnections + 10 {
		hold()
	}
	testwait.Until(t, func() bool { return entered.Load() == operatorsConnections }, "all connections that may be are in use")
	close(leave) // each of the others has its turn
	testwait.Until(t, func() bool { return entered.Load() == operatorsConnections+10 }, "the others are answered")

	errorLog := o.NewServer(nil).ErrorLog
	for i := range 100 {
		errorLog.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", i)
	}
	if lines := strings.Count(out.String(), "TLS handshake error from 192.0.2.1:"); lines != sameMessages {
		t.Errorf("%d lines of 100:\n%s", lines, out.String())
	}
}

// TestLogs: what a client says obeys no terminal that shows the log, in either form.
func TestLogs(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		o := &Options{}
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		o.AddFlags(flags, "")
		if err := errors.Join(flags.Set("log-format", format), o.Complete(t.Context(), flags, &out)); err != nil {
			t.Fatal(err)
		}
		o.Logger.Warn("refused", "path", "/a\n\u009b31m\u202e\x1b[31m")
		if line, ended := strings.CutSuffix(out.String(), "\n"); !ended || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || !strings.Contains(line, "refused") {
			t.Errorf("%s: %q", format, line)
		}
	}
}

// TestUntilStdinEnds: a program ends with its input where it is asked to.
func TestUntilStdinEnds(t *testing.T) {
	for _, asked := range []bool{true, false} {
		r, w := io.Pipe()
		ctx, stop := (&Options{untilStdin: asked}).Until(t.Context(), r)
		if asked {
			testlog.Must(io.WriteString(w, "what is in it does not count"))(t)
			if ctx.Err() != nil {
				t.Error("it ended before its input")
			}
			w.Close()
			<-ctx.Done()
		}
		if stop(); ctx.Err() == nil {
			t.Error("it goes on")
		}
	}
}

// synced is a buffer that is written and read at once.
type synced struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.String()
}

// TestTrustedProxies: whose request it is.
func TestTrustedProxies(t *testing.T) {
	trusted := testlog.Must(parseProxies([]string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.7"}))(t)
	for name, c := range map[string]struct {
		peer, xff, forwarded, want string
	}{
		"no proxy":                   {"198.51.100.1:5", "", "", "198.51.100.1:5"},
		"a client's invention":       {"198.51.100.1:5", "203.0.113.9", "for=203.0.113.9", "198.51.100.1:5"},
		"X-Forwarded-For":            {"10.1.2.3:5", "203.0.113.9", "", "203.0.113.9:0"},
		"Forwarded":                  {"10.1.2.3:5", "", "for=203.0.113.9;proto=https", "203.0.113.9:0"},
		"Forwarded, IPv6":            {"192.0.2.7:5", "", `for="[2001:db9::1]:4711"`, "[2001:db9::1]:0"},
		"both say the same":          {"10.1.2.3:5", "203.0.113.9", "for=203.0.113.9", "203.0.113.9:0"},
		"one is passed on":           {"10.1.2.3:5", "203.0.113.9", "for=203.0.113.8", "10.1.2.3:5"},
		"one is not understood":      {"10.1.2.3:5", "6.6.6.6", "for=_hidden", "10.1.2.3:5"},
		"the other is not":           {"10.1.2.3:5", "who knows", "for=6.6.6.6", "10.1.2.3:5"},
		"a quote that hides one":     {"10.1.2.3:5", "6.6.6.6", `for=", for=203.0.113.9`, "10.1.2.3:5"},
		"the last before the proxy":  {"10.1.2.3:5", "1.1.1.1, 203.0.113.9", "", "203.0.113.9:0"},
		"two proxies":                {"10.1.2.3:5", "1.1.1.1, 203.0.113.9, 10.9.9.9", "", "203.0.113.9:0"},
		"proxies alone":              {"10.1.2.3:5", "10.9.9.9", "", "10.1.2.3:5"},
		"nothing":                    {"10.1.2.3:5", "", "", "10.1.2.3:5"},
		"nonsense":                   {"10.1.2.3:5", "who knows", "for=_hidden", "10.1.2.3:5"},
		"nonsense behind an address": {"10.1.2.3:5", "1.1.1.1, who knows", "", "10.1.2.3:5"},
		"a host with a comma":        {"10.1.2.3:5", "", `for=203.0.113.9;host="a,for=6.6.6.6;x="`, "203.0.113.9:0"},
		"a host with a semicolon":    {"10.1.2.3:5", "", `host="a;for=6.6.6.6;x=";for=203.0.113.9`, "203.0.113.9:0"},
		"a host without quotes":      {"10.1.2.3:5", "", `for=203.0.113.9;host=a;for=6.6.6.6`, "10.1.2.3:5"},
		"a quote that is left open":  {"10.1.2.3:5", "", `for=6.6.6.6;x=", for=203.0.113.9`, "10.1.2.3:5"},
		"a quote over two proxies":   {"10.1.2.3:5", "", `for=6.6.6.6;x=", for=203.0.113.9;host=";y=\""`, "10.1.2.3:5"},
		"two elements":               {"10.1.2.3:5", "", `for=6.6.6.6, FOR="203.0.113.9:80";by=10.9.9.9, for=10.9.9.9`, "203.0.113.9:0"},
		"an obfuscated client":       {"10.1.2.3:5", "", `for=6.6.6.6, for="_gazonk"`, "10.1.2.3:5"},
		"an element without for":     {"10.1.2.3:5", "", `for=6.6.6.6, by=10.9.9.9`, "10.1.2.3:5"},
		"more than is looked at":     {"10.1.2.3:5", strings.Repeat("6.6.6.6,", 1000) + "203.0.113.9", "", "10.1.2.3:5"},
		"an IPv6 proxy":              {"[2001:db8::5]:5", "203.0.113.9", "", "203.0.113.9:0"},
		"IPv4 in IPv6":               {"[::ffff:10.1.2.3]:5", "203.0.113.9", "", "203.0.113.9:0"},
		"a Unix socket":              {"@", "203.0.113.9", "", "@"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		if c.xff != "" {
			r.Header.Set("X-Forwarded-For", c.xff)
		}
		if c.forwarded != "" {
			r.Header.Set("Forwarded", c.forwarded)
		}
		if got := trusted.client(r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if got := (proxies{}).client(r); got != c.peer {
			t.Errorf("%s, nobody is trusted: %s", name, got)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "proxy.example", "10.0.0.0/8,"} {
		if _, err := parseProxies([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzTrustedProxies(f *testing.F) {
	f.Add("10.1.2.3:5", "1.1.1.1, 203.0.113.9", `for="[2001:db9::1]:4711"`)
	trusted := testlog.Must(parseProxies([]string{"10.0.0.0/8"}))(f)
	f.Fuzz(func(t *testing.T, peer, xff, forwarded string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {xff}, "Forwarded": {forwarded}}}
		got := trusted.client(r)
		if !strings.Contains(peer, "10.") && got != peer {
			t.Errorf("%q says it is %q", peer, got)
		}
	})
}
