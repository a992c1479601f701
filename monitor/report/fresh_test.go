package report

import (
	"strings"
	"testing"
	"time"
)

// TestFresh: an unknown age is never fresh, in the document, on the page and in
// what asks for attention.
func TestFresh(t *testing.T) {
	at := first.Add(40 * day)
	for name, c := range map[string]struct {
		signed time.Time
		quiet  string // "" when it is fresh
		known  bool
	}{
		"now": {at, "", true}, "an hour ago": {at.Add(-time.Hour), "", true}, "a little ahead": {at.Add(time.Minute), "", true},
		"three days ago": {at.Add(-3 * day), "its checkpoint is 3 days old", true},
		"undated":        {time.Time{}, "does not say when it was signed, so its age is not known", false},
		"ahead":          {at.Add(time.Hour), "after this report was made, so its age is not known", false},
		"the year 2999":  {time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), "so its age is not known", false},
	} {
		l := newTestLog(t, "log.example")
		l.record("provider", "application/vnd.conmotion.record+cose", "create", first, "i-1", nil)
		l.signed = c.signed
		r := must(Make(t.Context(), []Source{l.source(roleProvider)}, Options{At: at, From: first, To: at, Stale: 2 * day}))(t)
		h := r.Logs[0]
		var text string
		for _, a := range r.Attention {
			text += a.Text + "\n"
		}
		page, document := string(must(r.HTML())(t)), string(must(r.JSON())(t))
		if h.Quiet != (c.quiet != "") || (h.AgeMS != nil) != c.known || h.Quiet && h.Level != levelMedium || !strings.Contains(text, c.quiet) {
			t.Errorf("%s: %+v, %s", name, h, text)
		}
		if strings.Contains(page, "its age is not known</strong>") == c.known || strings.Contains(document, `"age_ms"`) != c.known {
			t.Errorf("%s: the page or the document says otherwise", name)
		}
	}
}
