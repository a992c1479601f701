package personality

import (
	"crypto"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestClientOf: an IPv6 client has a whole network of addresses, and one rate.
func TestClientOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":                    "192.0.2.7",
		"[::ffff:192.0.2.7]:1234":           "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1234":       "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:9":          "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":                  "fe80::/64",
		"[::1]:1":                           "::/64",
		"@":                                 "@", // a Unix socket
		"[2001:db8:1:3:3:4:5:6]:1234":       "2001:db8:1:3::/64",
		"[2001:db8:1:2:3:4:5:6%zone]:65535": "2001:db8:1:2::/64",
	} {
		if got := clientOf(remote); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// TestKeyByID: a kid is found by its unpadded base64url form, and as it is
// where it is safe in a URL (SCRAPI section 2.2).
func TestKeyByID(t *testing.T) {
	var set scitt.KeySet
	for _, id := range []string{"key-2026", "\x00\xff/..", "a b"} {
		key, err := scitt.GenerateKey("ES256")
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, scitt.Key{ID: []byte(id), Public: key.Public()})
	}
	metrics, err := NewMetrics(noop.Meter{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Keys: Keys{Receipt: set}, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/.well-known/scitt-keys/"+name, nil))
		return w
	}
	names := map[string]crypto.PublicKey{"key-2026": set[0].Public}
	for _, k := range set {
		names[base64.RawURLEncoding.EncodeToString(k.ID)] = k.Public
	}
	for name, want := range names {
		w := get(name)
		key, err := scitt.ParseKey(w.Body.Bytes())
		if w.Code != http.StatusOK || err != nil || w.Header().Get("Content-Type") != "application/cbor" {
			t.Errorf("%s: status %d, %v", name, w.Code, err)
		} else if got, ok := key.Public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !got.Equal(want) {
			t.Errorf("%s: another key", name)
		}
	}
	for _, name := range []string{"key-2027", base64.URLEncoding.EncodeToString(set[0].ID) + "=", "a2V5LTIwMjc"} {
		w := get(name)
		if p, err := scitt.ParseProblem(w.Code, w.Body.Bytes()); err != nil || w.Code != http.StatusNotFound || p.Title != "No such key" {
			t.Errorf("%s: status %d, %+v, %v", name, w.Code, p, err)
		}
	}
}

func TestAccepted(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/html, */*;q=0.8": false, "application/cbor": false,
		"application/json": true, "Application/JSON; charset=utf-8": true, "text/html, application/json;q=0.5": true,
		"application/json, application/cbor": true, "application/cbor, application/json": false,
		"application/json;q=0.1, application/cbor": false, "application/cbor;q=0.1, application/json;q=0.2": true,
		"application/json;q=0": false, "application/json;q=x": false, "application/json;q=NaN": false,
	} {
		if got := prefersJSON(accept); got != want {
			t.Errorf("Accept: %s: JSON is preferred: %v", accept, got)
		}
	}
	for accept, want := range map[string]bool{
		"": false, "br": false, "gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "gzip; q=0.000": false, "gzip;q=0.001": true, "xgzip": false,
	} {
		if got := acceptsGzip(accept); got != want {
			t.Errorf("Accept-Encoding: %s: gzip is accepted: %v", accept, got)
		}
	}
}

// TestEntryLocation: an entry that is not a statement's has no id.
func TestEntryLocation(t *testing.T) {
	s := &Service{Config: Config{Issuer: "https://transparency.example"}}
	key := testlog.Must(scitt.GenerateKey("ES256"))(t)
	st := testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset"}, nil))(t)))(t)
	for entry, want := range map[string]string{
		string(st.Entry()):       st.ID().String(),
		string(st.Entry()[1:]):   "7",
		"no statement":           "7",
		"":                       "7",
		string(st.Entry()) + "x": "7",
	} {
		if got := s.entryLocation(7, []byte(entry)); got != s.Issuer+"/entries/"+want {
			t.Errorf("%.12q is at %s", entry, got)
		}
	}
}
