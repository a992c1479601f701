package audit

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestConfiguration: the policy that a log shows is the one in force, and not one
// that was. What is wrong is reported once and until it is right.
func TestConfiguration(t *testing.T) {
	var files testlog.Files
	keys := testlog.NewKeys(t)
	entries := keys.Begin(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`)
	first := testlog.Must(scitt.DecodeStatement(entries[1]))(t)
	document := `{"description":"the second","previous":"` + first.ID().String() + `","trust_anchors":{"self_certifying":["did:jwk"]},"version":1}`
	second := testlog.Must(scitt.SignStatement(keys.Service, scitt.SignOptions{
		Issuer: testlog.Issuer, Type: scitt.TypePolicy, Subject: scitt.PolicySubject(testlog.Origin), ContentType: "application/vnd.conmotion.policy+json",
	}, []byte(document)))(t)
	entries = append(entries, testlog.Must(scitt.DecodeStatement(second))(t).Entry())
	files.Publish(t, keys, entries)
	var told []string
	a := testlog.Must(New(tiles.NewLog(&files, keys.Verifiers), nil, Options{VKeys: keys.VKeys, List: 10, Report: func(v Violation) { told = append(told, v.Check+": "+v.Message) }}))(t)
	show := func(change func(c *scitt.Configuration)) (found string) {
		told = nil
		files.Publish(t, keys, entries)
		c := testlog.Must(scitt.ParseConfiguration(testlog.Must(files.Get(t.Context(), tiles.ConfigurationPath))(t)))(t)
		change(c)
		files.Put(tiles.ConfigurationPath, testlog.Must(c.Marshal())(t))
		if err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := a.Summary(); (s.Violations > 0) != (a.Misshown() != "") {
			t.Errorf("%+v, and %q is shown", s, a.Misshown())
		}
		return strings.Join(told, "; ")
	}
	old := func(c *scitt.Configuration) {
		c.Policy = scitt.ConfigurationPolicy{EntryID: first.ID().String(), Index: 1, Document: json.RawMessage(first.Payload)}
	}
	for _, c := range []struct {
		name   string
		change func(*scitt.Configuration)
		says   string
	}{
		{"the truth", func(*scitt.Configuration) {}, ""},
		{"the policy before", old, "log/configuration: the transparency configuration shows something else than the log: the policy at entry 1, and that at entry 2 is in force"},
		{"the same again", old, ""},
		{"the truth again", func(*scitt.Configuration) {}, ""},
		{"another issuer", func(c *scitt.Configuration) { c.Issuer = "https://x.example" }, `log/configuration: the transparency configuration shows something else than the log: the issuer "https://x.example", and the tree is signed by "https://transparency.example"`},
		{"one that is on its way", func(c *scitt.Configuration) { c.Policy.Index = 3 }, ""},
	} {
		if got := show(c.change); got != c.says {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
