package party

import (
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestHandOver: a chain goes on under another key, once, also when the first call failed
// between both statements. Nobody else gets it afterwards.
func TestHandOver(t *testing.T) {
	t.Parallel()
	s := newService(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "optional", "handover": "allowed"}`)
	old, heir, other := newAuthor(t), newAuthor(t), newAuthor(t)
	d := drafts("a", "b")
	d[0].Chain, d[1].Chain = "inventory", "inventory"
	old.register(old.registrar(s), "registered", d[0])
	s.first(func() { s.breaks(false) }) // the next one
	if _, _, err := old.registrar(s).HandOver(t.Context(), heir.registrar(s), "inventory"); err == nil || Refutes(err) {
		t.Errorf("the service broke: %v", err)
	}
	s.first(nil)
	s.mended()
	for range 2 {
		given, taken, err := old.registrar(s).HandOver(t.Context(), heir.registrar(s), "inventory")
		if err != nil || given.Index != 3 || taken.Index != 4 {
			t.Fatalf("%v, %v, %v", given, taken, err)
		}
	}
	heir.register(heir.registrar(s), "registered", d[1])
	if end := testlog.Must(heir.registrar(s).Chains(t.Context()))(t)["inventory"]; end.Seq != 3 {
		t.Errorf("the chain ends at %+v", end)
	}
	if _, _, err := old.registrar(s).HandOver(t.Context(), other.registrar(s), "inventory"); err == nil || !Refutes(err) {
		t.Errorf("it was handed over twice: %v", err)
	}
}
