package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// TestCheck: a document is valid with its hash and warnings, or has errors, each with its place.
func TestCheck(t *testing.T) {
	good := Check([]byte(`{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`))
	if !good.Valid || len(good.Hash) != 64 || good.Errors == nil || len(good.Errors) != 0 || len(good.Warnings) != 2 || !strings.HasPrefix(good.Warnings[0], "administrators: ") {
		t.Errorf("%+v", good)
	}
	bad := Check([]byte("{\"version\": 1,\n \"rules\": [{\"id\": \"a\", \"expr\": \"1 +\", \"message\": \"m\"}], \"limit\": {}}"))
	if bad.Valid || bad.Hash != "" || bad.Warnings == nil || len(bad.Errors) < 2 {
		t.Fatalf("%+v", bad)
	}
	for _, e := range bad.Errors {
		if e.Line != 2 || e.Column < 1 || e.Message == "" {
			t.Errorf("%+v", e)
		}
	}
	if e := Errors(errors.New("no document")); len(e) != 1 || e[0].In("p.json") != "p.json: no document" {
		t.Errorf("%+v", e)
	}
	for _, c := range []struct {
		e    SyntaxError
		want string
	}{
		{SyntaxError{Line: 3, Column: 5, Path: "rules[0].expr", Message: "m"}, "p.json:3:5: rules[0].expr: m"},
		{SyntaxError{Line: 3, Column: 5, Message: "m"}, "p.json:3:5: m"},
		{SyntaxError{Path: "a", Message: "m"}, "p.json: a: m"},
	} {
		if got := c.e.In("p.json"); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestReplacing: a document names the policy that it replaces, unless it does so already or
// there is none.
func TestReplacing(t *testing.T) {
	first, other := scitt.EntryID{1}, scitt.EntryID{2}
	silent, says := `{"version":1}`, `{"previous":"`+other.String()+`","version":1}`
	for _, c := range []struct {
		document string
		inForce  scitt.EntryID
		previous scitt.EntryID
	}{
		{silent, first, first},
		{silent, scitt.EntryID{}, scitt.EntryID{}},
		{says, first, other},
	} {
		document, err := parse(t, c.document).Replacing(c.inForce)
		if err != nil {
			t.Fatal(err)
		}
		if previous, ok := parse(t, string(document)).Previous(); previous != c.previous || ok != (c.previous != scitt.EntryID{}) {
			t.Errorf("%s in place of %s: %s", c.document, c.inForce, document)
		}
	}
}
