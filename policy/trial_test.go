package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// judgeAll gives the results of statements, and all that is said of them.
func judgeAll(t *testing.T, tr *Trial, statements ...*scitt.Statement) (results []string, said string) {
	t.Helper()
	for _, s := range statements {
		j, err := tr.Judge(s.Entry())
		if err != nil {
			t.Fatal(err)
		}
		results, said = append(results, j.Result), said+j.Note
		for _, f := range j.Findings {
			said += " " + f.Message
		}
	}
	return results, said
}

// TestTrialChains: chains go on from the statements before, or from the log.
func TestTrialChains(t *testing.T) {
	id := func(s *scitt.Statement) []byte { id := s.ID(); return id[:] }
	zero := chained(t, "c", 0, nil)
	one := chained(t, "c", 1, id(zero))
	two, fork := chained(t, "c", 2, id(one)), chained(t, "c", 1, make([]byte, 32))
	for name, c := range map[string]struct {
		log, given []*scitt.Statement
		want       []string
		says       string
	}{
		"from the beginning":       {given: []*scitt.Statement{zero, one, two}, want: []string{Admitted, Admitted, Admitted}, says: `it is taken to begin the chain "c"`},
		"a refused one is no head": {given: []*scitt.Statement{zero, fork, one, two}, want: []string{Admitted, Refused, Admitted, Admitted}, says: "wrong prev"},
		"a gap":                    {given: []*scitt.Statement{zero, two}, want: []string{Admitted, Refused}, says: "gap"},
		"twice":                    {given: []*scitt.Statement{zero, zero}, want: []string{Admitted, Admitted}, says: "registered already, as entry 0"},
		"nobody has the head":      {given: []*scitt.Statement{two}, want: []string{Undecided}, says: "the head of the chain"},
		"the log has it":           {log: []*scitt.Statement{zero, one}, given: []*scitt.Statement{two}, want: []string{Admitted}},
		"the log has this one":     {log: []*scitt.Statement{zero, one}, given: []*scitt.Statement{one, fork}, want: []string{Admitted, Refused}, says: "registered already, as entry 1"},
		"the log knows no other":   {log: []*scitt.Statement{zero, one}, given: []*scitt.Statement{chained(t, "d", 4, id(two))}, want: []string{Refused}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := &Trial{Policy: parse(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "required"}`), Log: c.log != nil}
			for _, s := range c.given { // before the log is read
				tr.Expect(s.Entry())
			}
			for i, s := range c.log {
				if err := tr.Registered(uint64(i), s.Entry()); err != nil {
					t.Fatal(err)
				}
			}
			if results, said := judgeAll(t, tr, c.given...); !slices.Equal(results, c.want) || !strings.Contains(said, c.says) {
				t.Errorf("%v, want %v: %s", results, c.want, said)
			}
		})
	}
	if err := new(Trial).Registered(7, []byte("chain")); !errors.Is(err, scitt.ErrMalformed) {
		t.Errorf("an entry that is not a statement: %v", err)
	}
}

// TestTrialContent: content that was not given decides nothing, and content that is
// not stored does.
func TestTrialContent(t *testing.T) {
	doc := `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "artifact": "required"}`
	s := sign(t, p256(t, "issuer"), scitt.SignOptions{Subject: "a", Hash: true}, "content")
	for name, c := range map[string]struct {
		content func(int64, []byte) (*Artifact, error)
		want    string
	}{
		"not given":  {nil, Undecided},
		"not stored": {stored().Artifact, Refused},
		"stored":     {stored("content").Artifact, Admitted},
	} {
		if got, said := judgeAll(t, &Trial{Policy: parse(t, doc), Content: c.content}, s); got[0] != c.want {
			t.Errorf("%s: %v %s", name, got, said)
		}
	}
	if _, err := (&Trial{Policy: parse(t, doc), Content: failingFacts{}.Artifact}).Judge(s.Entry()); !errors.Is(err, errStorage) {
		t.Errorf("a storage that fails: %v", err)
	}
}

// TestTrialPolicy: a policy that replaces another judges what follows.
func TestTrialPolicy(t *testing.T) {
	admin := p256(t, "admin")
	first := parse(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "administrators": [{"issuer": "`+didJWK(t, admin)+`"}]}`)
	place := InForce{Entry: scitt.EntryID{1}, Subject: "log/policy", ServiceKeys: keySet(t, p256(t, "service"))}
	document, err := WithPrevious([]byte(`{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "required"}`), place.Entry)
	if err != nil {
		t.Fatal(err)
	}
	o := scitt.SignOptions{Subject: place.Subject, Type: scitt.TypePolicy, ContentType: "application/json"}
	next, plain := sign(t, admin, o, string(document)), sign(t, p256(t, "issuer"), scitt.SignOptions{Subject: "a"}, "content")
	again := sign(t, p256(t, "other"), scitt.SignOptions{Subject: "a"}, "content")
	if got, said := judgeAll(t, &Trial{Policy: first, InForce: &place}, plain, next, again); !slices.Equal(got, []string{Admitted, Admitted, Refused}) {
		t.Errorf("%v %s", got, said)
	}
	stranger := sign(t, p256(t, "stranger"), o, string(document))
	place.Entry = scitt.EntryID{1}
	if got, said := judgeAll(t, &Trial{Policy: first, InForce: &place}, stranger); got[0] != Refused {
		t.Errorf("a stranger's: %v %s", got, said)
	}
	if got, said := judgeAll(t, &Trial{Policy: first}, next); got[0] != Undecided {
		t.Errorf("without a log: %v %s", got, said)
	}
	if j, err := (&Trial{Policy: first}).Judge([]byte("x")); err != nil || j.Result != Refused || j.Findings[0].Check != "form" {
		t.Errorf("no statement: %+v, %v", j, err)
	}
}
