package personality

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// TestHidden: problem details name no directory of the operator's.
func TestHidden(t *testing.T) {
	s := newTested(t, func(c *Config) { c.Hidden = []string{"/srv/secret", "/", ""} })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	s.writeError(w, r, fmt.Errorf("%w: open /srv/secret/private/x: no space", scitt.ErrUnavailable))
	wants(t, w, http.StatusServiceUnavailable, "Registration Failed", "open private/x: no space")
	if strings.Contains(w.Body.String(), "secret") {
		t.Error(w.Body)
	}
	w = httptest.NewRecorder()
	s.writeError(w, r, io.ErrUnexpectedEOF)
	wants(t, w, http.StatusInternalServerError, "Internal Error", "its log says why")
	// A directory's name may be a word, or a part of one, of what is said.
	h := newHidden([]string{"d", "/srv", "/srv/secret", "data/log"})
	for text, want := range map[string]string{
		"more statements come than can be registered": "more statements come than can be registered",
		"and/or the word d; sd/x, /d/x, ../d/x":       "and/or the word d; sd/x, /d/x, ../d/x",
		"open d/private/x: no space":                  "open private/x: no space",
		`"d/x" and (/srv/secret/y), /srv/z`:           `"x" and (y), z`,
		"open /srv/secret: denied; /srv/secrets":      "open the directory: denied; secrets",
		"stat data/log":                               "stat the directory",
		"d/x":                                         "x",
	} {
		if got := h.replace(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := newHidden(nil).replace("as it is"); got != "as it is" {
		t.Error(got)
	}
}
