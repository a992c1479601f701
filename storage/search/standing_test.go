package search

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestStanding: an index has every entry of an id, also copies that an operator
// put into the log, and an answer is complete only with all of them. Who verifies
// it finds which one counts.
func TestStanding(t *testing.T) {
	key, stranger := testlog.FixedKey(t, "a"), testlog.FixedKey(t, "b")
	sign := func(n int, issuer string) []byte {
		return testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "s", ContentType: "text/plain", Issuer: issuer}, fmt.Append(nil, n)))(t)
	}
	forged := testlog.Must(scitt.SignStatement(stranger, scitt.SignOptions{Subject: "s", ContentType: "text/plain", Issuer: testlog.DIDJWK(t, key)}, []byte("9")))(t)
	one, two, web := sign(1, ""), sign(2, ""), sign(3, "https://unknown.example")
	l := memLog{testlog.Garbage(one), two, one, testlog.Twin(t, one), one, []byte("not an entry"), web, testlog.Twin(t, web), testlog.Garbage(two), forged}
	x := indexed(t, l, Options{Service: "https://service.example"})
	keys, files := testlog.NewKeys(t), &testlog.Files{}
	files.Publish(t, keys, l)
	view := testlog.Must(tiles.NewLog(files, keys.Verifiers).Latest(t.Context()))(t)
	signed := scitt.SelfCertifying(nil, nil).Verifier(nil)
	standing := func(a *Answer) string {
		var out []string
		for _, h := range a.Entries {
			text := fmt.Sprintf("%d %s", h.Index, h.Standing)
			if h.DuplicateOf != nil {
				text += fmt.Sprintf(" of %d", *h.DuplicateOf)
			}
			out = append(out, text)
		}
		return strings.Join(out, ", ")
	}
	for query, want := range map[string]string{
		"entry=" + idOf(one).String(): "0 signature, 2 counts, 3 duplicate of 2, 4 duplicate of 2",
		"entry=" + idOf(two).String(): "1 counts, 8 signature",
		"entry=" + idOf(web).String(): "6 unchecked, 7 duplicate of 6",
		"order=desc":                  "9 unchecked, 8 signature, 7 duplicate of 6, 6 unchecked, 5 , 4 duplicate of 2, 3 duplicate of 2, 2 counts, 1 counts, 0 signature",
		"index_from=3&index_to=4":     "3 duplicate of 2",
	} {
		q := parseQuery(t, query)
		a := ask(t, x, query)
		if got := standing(a); strings.ContainsAny(got, "cdu") {
			t.Errorf("%s: the index says %s", query, got)
		}
		if _, err := Verify(t.Context(), view, []Page{{q, a}}, nil, signed, nil); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if got := standing(a); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
		b := ask(t, x, query)
		if err := VerifyHits(t.Context(), view, q, b, nil, signed); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if got := standing(b); got != want && query != "index_from=3&index_to=4" {
			t.Errorf("%s: of the hits alone %s, not %s", query, got, want)
		}
		for i := range a.Entries { // none may be left out, not even one that does not count
			c := ask(t, x, query)
			c.Entries = slices.Delete(c.Entries, i, i+1)
			if _, err := Verify(t.Context(), view, []Page{{q, c}}, nil, signed, nil); !errors.Is(err, ErrAnswer) {
				t.Errorf("%s without hit %d: %v", query, i, err)
			}
		}
		// A standing is not the index's to say.
		c := ask(t, x, query)
		c.Entries[0].Standing = Counts
		if _, err := Verify(t.Context(), view, []Page{{q, c}}, nil, signed, nil); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", query, err)
		}
	}
	// What has no entry id is named by its index.
	if h := ask(t, x, "index_from=5&index_to=6").Entries[0]; h.Entry != "" || h.Receipt != "https://service.example/entries/5" {
		t.Errorf("%+v", h)
	}
}
