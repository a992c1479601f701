package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/storage/artifact"
)

// TestReaders: nobody reads artifacts unless the operator says so, but for this
// machine where the service is a trial on it.
func TestReaders(t *testing.T) {
	for _, c := range []struct {
		readers     Readers
		issuer, who string
		here, far   bool // who gets in without a token
	}{
		{Readers{}, "https://transparency.example", "nobody", false, false},
		{Readers{}, "http://10.0.0.1:8080", "nobody", false, false},
		{Readers{}, "", "nobody", false, false},
		{Readers{}, "http://127.0.0.1:8080", "this machine", true, false},
		{Readers{}, "http://localhost:8080", "this machine", true, false},
		{Readers{}, "http://[::1]:8080", "this machine", true, false},
		{Readers{Public: true}, "https://transparency.example", "everybody", true, true},
	} {
		if got := c.readers.Who(c.issuer); !strings.HasPrefix(got, c.who+" ") {
			t.Errorf("%+v at %s: %s", c.readers, c.issuer, got)
		}
		tokens, err := c.readers.open(c.issuer)
		if err != nil {
			t.Fatal(err)
		}
		for from, in := range map[string]bool{"127.0.0.1:9": c.here, "203.0.113.9:9": c.far} {
			r, w := httptest.NewRequest("GET", "http://localhost:8080/search", nil), httptest.NewRecorder()
			r.RemoteAddr = from
			artifact.Readers(tokens, writeProblem, http.NotFoundHandler()).ServeHTTP(w, r)
			if got := w.Code == 404; got != in {
				t.Errorf("%+v at %s from %s: %d", c.readers, c.issuer, from, w.Code)
			}
		}
	}
	if _, err := (Readers{Tokens: t.TempDir() + "/none"}).open("http://127.0.0.1"); err == nil {
		t.Error("no file of tokens, and no error")
	}
}
