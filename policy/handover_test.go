package policy

import (
	"errors"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

func TestHandoverMember(t *testing.T) {
	for doc, ok := range map[string]bool{
		`"chain": "optional", "handover": "allowed"`: true, `"chain": "required", "handover": "allowed"`: true, `"handover": "off"`: true,
		`"handover": "allowed"`: false, `"chain": "off", "handover": "allowed"`: false, `"chain": "required", "handover": "yes"`: false,
	} {
		if _, err := Parse([]byte(`{"version": 1, ` + doc + `}`)); (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// TestHandover: a handover is judged by the chains of both issuers, and by none of what
// its issuer may speak of. witness/audit has the sequences.
func TestHandover(t *testing.T) {
	old, to := p256(t, "old"), ed("new")
	p := parse(t, `{"version": 1, "chain": "required", "handover": "allowed", "ocsf": {"mode": "enforce"}, "issuers": [
		{"issuer": "`+didJWK(t, old)+`", "subjects": ["asset/*"], "content_types": ["application/json"]}, {"issuer": "`+didJWK(t, to)+`", "subjects": ["asset/*"]}]}`)
	first := sign(t, old, scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c"}}, "x")
	parsed := func(entry []byte) *scitt.Statement { return testlog.Must(scitt.ParseStatement(entry))(t) }
	h := testlog.NewHandover(t, "c", old, to)
	given := parsed(testlog.Handover(t, old, h, first.Entry()))
	taken := parsed(testlog.Handover(t, to, h, given.Entry()))
	facts := &chainHeads{}
	facts.Add(first, 2)
	admitted(t, p.Admit(given, facts))
	contains(t, refused(t, p.Admit(taken, facts), CheckChain), "does not end with a handover")
	facts.Add(given, 3)
	admitted(t, p.Admit(taken, facts))
	late := sign(t, old, scitt.SignOptions{Subject: "asset/1", ContentType: "application/json", Chain: testlog.After(t, given.Entry())}, "x")
	contains(t, refused(t, p.Admit(late, facts), CheckChain, CheckOCSF), "handed over")
	if err := p.Admit(taken, failingFacts{}); !errors.Is(err, ErrFacts) {
		t.Errorf("without facts: %v", err)
	}
	// While the other issuer's head is on its way, nobody is refused because of it.
	if err := p.Admit(given, pendingHead{facts, h.To}); !errors.Is(err, ErrPending) {
		t.Errorf("the new issuer's chain is beginning: %v", err)
	}
	contains(t, refused(t, with(t, `"chain": "optional"`).Admit(given, facts), CheckType), `"handover": "allowed"`)
	other := sign(t, old, scitt.SignOptions{Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover, Chain: testlog.After(t, first.Entry())}, "x")
	contains(t, refused(t, p.Admit(other, facts), CheckType), "conmotion key handover")
}

// pendingHead is of a chain of one issuer that is on its way into the log.
type pendingHead struct {
	*chainHeads
	issuer string
}

func (p pendingHead) ChainHead(issuer, name string) (*scitt.Head, error) {
	if issuer == p.issuer {
		return &scitt.Head{Pending: true}, nil
	}
	return p.chainHeads.ChainHead(issuer, name)
}
