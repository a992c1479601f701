package daemon_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// sign1 is a statement in the making that a test can break.
type sign1 struct {
	t           testing.TB
	key         crypto.Signer
	protected   map[any]any
	unprotected map[any]any
	payload     []byte
	signDER     bool
}

func newSign1(t testing.TB) *sign1 {
	key := testlog.Key(t, "ES256")
	return &sign1{
		t: t, key: key, payload: []byte("hello"),
		protected: map[any]any{1: -7, 3: "text/plain",
			4:  testlog.Must(scitt.Thumbprint(key.Public()))(t),
			15: map[any]any{1: testlog.Must(did.NewJWK(key.Public()))(t), 2: "asset"}},
		unprotected: map[any]any{},
	}
}

// bytes signs it, whatever it is.
func (s *sign1) bytes() []byte { return s.with(encode(s.t, s.protected)) }

func (s *sign1) with(protected []byte) []byte {
	toSign := encode(s.t, []any{"Signature1", protected, []byte{}, s.payload})
	digest := sha256.Sum256(toSign)
	key := s.key.(*ecdsa.PrivateKey)
	der := testlog.Must(ecdsa.SignASN1(rand.Reader, key, digest[:]))(s.t)
	sig := der
	if !s.signDER {
		r, t, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			s.t.Fatal(err)
		}
		sig = append(r.FillBytes(make([]byte, 32)), t.FillBytes(make([]byte, 32))...)
	}
	return encode(s.t, cbor.Tag{Number: 18, Content: []any{protected, s.unprotected, s.payload, sig}})
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	return testlog.Must(cbor.Marshal(v))(t)
}

func claims(s *sign1) map[any]any { return s.protected[15].(map[any]any) }

// TestRefusals: what may not be registered is refused with the status, the
// problem and the advice that a client needs, and nothing is logged.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	checker := s.checker()
	before := checker.Check(t, nil).Checkpoint.Size

	built := func(change func(*sign1)) func(testing.TB) []byte {
		return func(t testing.TB) []byte {
			st := newSign1(t)
			change(st)
			return st.bytes()
		}
	}
	raw := func(b []byte) func(testing.TB) []byte { return func(testing.TB) []byte { return b } }
	broken := func(change func([]byte) []byte) func(testing.TB) []byte {
		return func(t testing.TB) []byte { return change(newSign1(t).bytes()) }
	}
	for _, c := range []struct {
		name   string
		body   func(testing.TB) []byte
		status int
		title  string
		detail string
	}{
		{"empty", raw(nil), 400, "Malformed request", "the body is empty"},
		{"not CBOR", raw([]byte("hello")), 400, "Malformed request", "not a COSE_Sign1"},
		{"JSON", raw([]byte(`{"a":1}`)), 400, "Malformed request", "tag 18"},
		{"untagged", broken(func(b []byte) []byte { return b[1:] }), 400, "Malformed request", "untagged"},
		{"trailing bytes", broken(func(b []byte) []byte { return append(b, 0) }), 400, "Malformed request", "1 bytes trail"},
		{"cut off", broken(func(b []byte) []byte { return b[:len(b)-1] }), 400, "Malformed request", "not a COSE_Sign1"},
		{"duplicate keys", func(t testing.TB) []byte {
			st := newSign1(t)
			h := encode(t, st.protected)
			h[0]++ // one member more
			return st.with(append(h, 3, 0x60))
		}, 400, "Malformed request", "duplicate"},
		{"in both headers", built(func(s *sign1) { s.unprotected[3] = "text/html" }), 400, "Malformed request", "both the protected and the unprotected"},
		{"unknown crit", built(func(s *sign1) { s.protected[2] = []any{99}; s.protected[99] = 1 }), 400, "Malformed request", "99 as critical"},
		{"no claims", built(func(s *sign1) { delete(s.protected, 15) }), 400, "Malformed request", "CWT Claims"},
		{"no iss", built(func(s *sign1) { delete(claims(s), 1) }), 400, "Malformed request", "no issuer"},
		{"no sub", built(func(s *sign1) { delete(claims(s), 2) }), 400, "Malformed request", "no subject"},
		{"no kid", built(func(s *sign1) { delete(s.protected, 4) }), 400, "Confirmation Missing", "kid (4)"},
		{"wrong kid", built(func(s *sign1) { s.protected[4] = []byte("another") }), 400, "Rejected", "kid"},
		{"nil payload", built(func(s *sign1) { s.payload = nil }), 400, "Payload Missing", "hash envelope"},
		{"tampered signature", broken(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), 400, "Rejected", "signature"},
		{"tampered payload", broken(func(b []byte) []byte { return bytes.Replace(b, []byte("hello"), []byte("hullo"), 1) }), 400, "Rejected", "signature"},
		{"DER signature", built(func(s *sign1) { s.signDER = true }), 400, "Malformed request", "DER"},
		{"unknown issuer", built(func(s *sign1) { claims(s)[1] = "https://stranger.example" }), 400, "Rejected", ""},
		{"unsupported alg", built(func(s *sign1) { s.protected[1] = -47 }), 400, "Bad Signature Algorithm", "ES256, ESP256"},
		{"text alg", built(func(s *sign1) { s.protected[1] = "WalnutDSA" }), 400, "Bad Signature Algorithm", "WalnutDSA"},
		{"another algorithm's key", built(func(s *sign1) { s.protected[1] = -35 }), 400, "Malformed request", "96"},
		{"over 65,535 bytes", built(func(s *sign1) { s.payload = make([]byte, 65_535) }), 413, "Statement Too Large", "hash envelope"},
		{"over the body limit", raw(make([]byte, 2<<20)), 413, "Statement Too Large", "larger than 1048576 bytes"},
		{"crit unprotected", built(func(s *sign1) { s.unprotected[2] = []any{1} }), 400, "Malformed request", "crit (2) is in the unprotected"},
		{"typ unprotected", built(func(s *sign1) { s.unprotected[16] = "application/a" }), 400, "Malformed request", "typ (16) is in the unprotected"},
		{"IV and Partial IV", built(func(s *sign1) { s.protected[5], s.unprotected[6] = []byte{1}, []byte{2} }), 400, "Malformed request", "IV (5) and Partial IV (6)"},
		{"content type without a slash", built(func(s *sign1) { s.protected[3] = "text" }), 400, "Malformed request", "not a media type"},
		{"long iss", built(func(s *sign1) { claims(s)[1] = strings.Repeat("i", 8193) }), 400, "Malformed request", "8193 characters"},
		{"iss is no URI beside x5t", built(func(s *sign1) { s.protected[34], claims(s)[1] = []any{-16, make([]byte, 32)}, "vendor" }), 400, "Malformed request", "not a URI"},
		{"x5t by a name", built(func(s *sign1) { s.protected[34] = []any{"SHA-256", make([]byte, 32)} }), 400, "Rejected", `hash algorithm "SHA-256"`},
		{"tagged iat", built(func(s *sign1) { claims(s)[6] = cbor.Tag{Number: 1, Content: 1} }), 400, "Malformed request", "CWT claim iat has a tag"},
		{"receipts protected, empty", built(func(s *sign1) { s.protected[394] = []any{} }), 400, "Malformed request", "receipts (394)"},
		{"reserved type", built(func(s *sign1) { s.protected[16] = scitt.TypePolicy }), 400, "Rejected", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do(http.MethodPost, "/entries", c.body(t), "Content-Type", "application/cose")
			p := a.problem(t)
			if p == nil {
				t.Fatalf("answered %s without problem details", a.Status)
			}
			if p.Status != c.status || p.Title != c.title || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("got %d %q %q\nwant %d %q with %q", p.Status, p.Title, p.Detail, c.status, c.title, c.detail)
			}
			if p.Detail == "" {
				t.Error("the problem has no detail")
			}
		})
	}
	// What was good still is, and the log has nothing else.
	good := []func(*sign1){
		func(*sign1) {},
		func(s *sign1) { claims(s)[4], claims(s)[5] = 1, int64(1)<<40 }, // no clock: expired, and not valid yet
		func(s *sign1) { s.protected["x"], s.unprotected["y"] = uint64(math.MaxUint64), uint64(math.MaxUint64) },
		func(s *sign1) { s.protected[394] = []any{[]byte("of another entry")} },
		func(s *sign1) { s.protected[1], s.protected[3] = -9, 50 },
	}
	for _, change := range good {
		s.register(built(change)(t))
	}
	if after := checker.Check(t, nil).Checkpoint.Size; after != before+uint64(len(good)) {
		t.Errorf("the log grew from %d to %d entries by refusals and %d statements", before, after, len(good))
	}
}

func TestWrongRequests(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	unknown := strings.Repeat("ab", 32)
	for _, c := range []struct {
		method, path  string
		status        int
		title, detail string
	}{
		{"GET", "/nothing", 404, "Not Found", "/nothing"},
		{"PUT", "/entries", 405, "Method Not Allowed", "POST"},
		{"DELETE", "/entries/0", 405, "Method Not Allowed", "GET"},
		{"POST", "/checkpoint", 405, "Method Not Allowed", "GET"},
		{"GET", "/entries/xyz", 400, "Invalid locator", "xyz"},
		{"GET", "/entries/" + strings.ToUpper(unknown), 400, "Invalid locator", "lowercase"},
		{"GET", "/entries/007", 400, "Invalid locator", "007"},
		{"GET", "/entries/" + strings.Repeat("%ff", 20_000), 400, "Invalid locator", ""},
		{"GET", "/tile/" + strings.Repeat("0", 60_000), 404, "Not Found", "tile/000"},
		{"GET", "/" + strings.Repeat("a", 60_000), 404, "Not Found", "/aaa"},
		{"GET", "/entries/" + unknown, 404, "Not Found", unknown},
		{"GET", "/entries/99", 404, "Not Found", "99"},
		{"GET", "/entries/" + unknown + "/statement", 404, "Not Found", unknown},
		{"GET", "/entries/99/proof", 404, "Not Found", "99"},
		{"GET", "/entries?from=-1", 400, "Malformed request", "from"},
		{"GET", "/entries?limit=1001", 400, "Malformed request", "limit"},
		{"GET", "/entries?limit=0", 400, "Malformed request", "limit"},
		{"GET", "/.well-known/scitt-keys/AAAA", 404, "No such key", ""},
		{"GET", "/tile/0/001", 404, "Not Found", "tile/0/001"},
		{"GET", "/tile/0/000", 404, "Not Found", ""},           // not full yet
		{"GET", "/tile/0/000.p/200", 404, "Not Found", ""},     // beyond the checkpoint
		{"GET", "/tile/0/../../private", 404, "Not Found", ""}, // the router cleans the path
		{"GET", "/tile/..%2f..%2fprivate%2freceipt-key.pem", 404, "Not Found", ""},
		{"GET", "/tile/entries/000.p/0", 404, "Not Found", ""},
		{"GET", "/private/receipt-key.pem", 404, "Not Found", ""},
	} {
		a := s.do(c.method, c.path, nil)
		for a.StatusCode == http.StatusPermanentRedirect {
			a = s.do(c.method, strings.TrimPrefix(a.Header.Get("Location"), s.Issuer), nil)
		}
		p := a.problem(t)
		if p == nil {
			t.Errorf("%s %s: %s without problem details", c.method, c.path, a.Status)
			continue
		}
		if p.Status != c.status || p.Title != c.title || !strings.Contains(p.Detail, c.detail) || len(p.Detail) > 1000 {
			t.Errorf("%.100s %.100s: got %d %q %q, want %d %q with %q", c.method, c.path, p.Status, p.Title, p.Detail, c.status, c.title, c.detail)
		}
		if c.status == 405 && !strings.Contains(a.Header.Get("Allow"), c.detail) {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, a.Header.Get("Allow"))
		}
	}
}

// TestUncleanPath: the redirect leads to the service as the world knows it, with
// the path that a proxy takes off.
func TestUncleanPath(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.Issuer = "https://proxy.example/log" })
	for path, want := range map[string]string{
		"//checkpoint": "/checkpoint", "/tile//0/000": "/tile/0/000", "/entries/?limit=2": "", "/x/../entries?limit=2": "/entries?limit=2",
		"//evil.example/entries": "/evil.example/entries", "/./": "/",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a := s.do(method, path, nil)
			if want == "" {
				if a.StatusCode/100 == 3 {
					t.Errorf("%s: %s to %s", path, a.Status, a.Header.Get("Location"))
				}
				continue
			}
			if got := a.Header.Get("Location"); a.StatusCode != http.StatusPermanentRedirect || got != s.Issuer+want {
				t.Errorf("%s %s: %s to %q, want %q", method, path, a.Status, got, s.Issuer+want)
			}
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.Rate, c.Burst = 0.01, 2 })
	for i := range 3 {
		a := s.get("/entries/0")
		if want := 200; i < 2 && a.StatusCode != want {
			t.Errorf("request %d: %s", i+1, a.Status)
		}
		if i < 2 {
			continue
		}
		p := a.problem(t)
		if p == nil || p.Status != http.StatusTooManyRequests || p.Title != "Too Many Requests" || a.Header.Get("Retry-After") == "" {
			t.Errorf("request %d: %s %v, Retry-After %q", i+1, a.Status, p, a.Header.Get("Retry-After"))
		}
	}
	// Static files are for everybody, always.
	for range 5 {
		if a := s.get("/checkpoint"); a.StatusCode != http.StatusOK {
			t.Errorf("checkpoint: %s", a.Status)
		}
	}
}

// TestBusy: when more statements come than can be stored, some are sent away
// with the time after which they are welcome, and not logged.
func TestBusy(t *testing.T) {
	t.Parallel()
	s := newService(t, func(c *daemon.Config) { c.Pushback, c.BatchMaxAge = 1, 200*time.Millisecond })
	key := testlog.Key(t, "ES256")
	var registered, busy atomic.Int64
	for round := 0; round == 0 || round < 100 && (registered.Load() == 0 || busy.Load() == 0); round++ { // until both were seen
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				a := s.do(http.MethodPost, "/entries", testlog.Statement(t, key, "asset", fmt.Append(nil, round, i)))
				switch p := a.problem(t); {
				case a.StatusCode == http.StatusCreated:
					registered.Add(1)
				case p != nil && p.Status == http.StatusServiceUnavailable && p.Title != "" && strings.Contains(p.Detail, "1 entries wait") && a.Header.Get("Retry-After") != "":
					busy.Add(1)
				default:
					t.Errorf("%s %v, Retry-After %q", a.Status, p, a.Header.Get("Retry-After"))
				}
			})
		}
		group.Wait()
	}
	if registered.Load() == 0 || busy.Load() == 0 {
		t.Errorf("%d registered, %d sent away", registered.Load(), busy.Load())
	}
	if got := s.size(); got != 2+uint64(registered.Load()) {
		t.Errorf("the log has %d entries, %d were registered", got, registered.Load())
	}
}

// TestSlowBody: a client that sends too slowly is told so and does not hold a
// place for ever.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	impatient := httptest.NewUnstartedServer(s.Handler())
	impatient.Config.ReadTimeout, impatient.Config.ReadHeaderTimeout = 500*time.Millisecond, time.Minute // for the body alone
	impatient.Start()
	defer impatient.Close()
	conn := testlog.Must(net.Dial("tcp", impatient.Listener.Addr().String()))(t)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /entries HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nslow")
	got := string(testlog.Must(io.ReadAll(conn))(t))
	if !strings.HasPrefix(got, "HTTP/1.1 408") || !strings.Contains(got, "too slowly") {
		t.Errorf("got %q", got)
	}
	if s.size() != 2 {
		t.Error("something was logged")
	}
}
