package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// TestRecomputeWithheld: a measurement names what was not there. What is withheld
// later makes it one that cannot be checked, which is nobody's lie; what comes
// later changes nothing.
func TestRecomputeWithheld(t *testing.T) {
	p := newPair(t)
	p.provider.hash, p.auditor.hash = true, true
	for i, uid := range []string{"a", "b", "c"} {
		p.provider.record(inventory(Create, noon+int64(i)*minute, uid))
		p.auditor.record(inventory(Create, noon+int64(i)*minute, uid))
	}
	artifact := func(side *party, index int) reader.Digest {
		return reader.Digest(must(scitt.DecodeStatement(side.entries[index]))(t).Payload)
	}
	withhold := func(digest reader.Digest) (back func()) {
		var undo []func()
		for _, b := range []blobs{p.provider.blobs, p.auditor.blobs} {
			if content, ok := b[digest]; ok {
				delete(b, digest)
				undo = append(undo, func() { b[digest] = content })
			}
		}
		return func() {
			for _, f := range undo {
				f()
			}
		}
	}
	recompute := func(payload []byte) (*Recomputation, error) {
		return Recompute(t.Context(), payload, p.provider.log(), p.auditor.log())
	}
	whole := must(Measure(p.compare(hour), measureOptions(Inventory)))(t)
	for _, side := range []*party{p.provider, p.auditor} {
		digest := artifact(side, 1)
		back := withhold(digest)
		if c := p.compare(hour); c.Unread().ContentMissing != 2 { // both said the same
			t.Errorf("%+v of the comparison's records are unread", c.Unread())
		}
		_, err := recompute(whole.Payload)
		w, ok := errors.AsType[*WithheldError](err)
		if !ok || w.contents != 1 || w.Digest != digest || w.Origin != p.provider.origin() || !strings.Contains(err.Error(), "cannot be checked") {
			t.Errorf("%v", err)
		}
		back()
	}
	if r := must(recompute(whole.Payload))(t); !r.Same() {
		t.Errorf("differs at %v", r.Paths)
	}

	digest := artifact(p.provider, 2)
	back := withhold(digest)
	part := must(Measure(p.compare(hour), measureOptions(Inventory)))(t)
	valid(t, part.Payload)
	if in := must(ParseMeasurement(part.Payload))(t); len(in.Withheld) != 1 || in.Withheld[0] != digest {
		t.Errorf("%v is withheld, says the measurement, and not %v", in.Withheld, digest)
	}
	if r := must(recompute(part.Payload))(t); !r.Same() || r.Served != 0 {
		t.Errorf("differs at %v; %d are there", r.Paths, r.Served)
	}
	back()
	if r := must(recompute(part.Payload))(t); !r.Same() || r.Served != 1 {
		t.Errorf("differs at %v; %d are there", r.Paths, r.Served)
	}
	// Two things withheld now, of which one was then.
	withhold(digest)
	withhold(artifact(p.provider, 0))
	if _, err := recompute(part.Payload); !strings.Contains(fmt.Sprint(err), artifact(p.provider, 0).String()) {
		t.Errorf("%v", err)
	}

	var doc map[string]any
	if err := json.Unmarshal(part.Payload, &doc); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]string{
		"out of order": {digest.String(), strings.Repeat("0", 64)}, "twice": {digest.String(), digest.String()}, "no digest": {"00"}, "upper case": {strings.ToUpper(digest.String())},
	} {
		doc["unmapped"].(object)["conmotion"].(object)["withheld"] = list
		if _, err := ParseMeasurement(encode(doc)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnchecked: records of an issuer whose key is not known are neither counted
// nor called unsigned, and nothing is measured with them. With the key they count.
func TestUnchecked(t *testing.T) {
	const issuer = "https://provider.example"
	p := newPair(t)
	for i, uid := range []string{"a", "b"} {
		r := must(NewRecord(encode(inventory(Create, noon+int64(i)*minute, uid)), Inventory, Create))(t)
		key := p.provider.key
		if uid == "b" {
			key = testKey("somebody else")
		}
		o := scitt.SignOptions{Type: scitt.TypeRecord, Issuer: issuer, IssuedAt: at(noon)}
		p.provider.add(must(testlog.SignAs(key, r, o))(t))
		p.auditor.record(inventory(Create, noon+int64(i)*minute, uid))
	}
	log := p.provider.log()
	kinds := func(log Log) (kinds string, r *Replay) {
		r = NewReplay(Filter{}, nil)
		if err := r.Advance(t.Context(), log, 1<<40); err != nil {
			t.Fatal(err)
		}
		for _, a := range r.anomalies {
			kinds += fmt.Sprintf("%d %s ", a.Entry.Index, a.Kind)
		}
		return kinds, r
	}
	got, r := kinds(log)
	if got != "0 unchecked 1 unchecked " || r.Unread() != (Unread{Unchecked: 2}) || len(r.assets) > 0 || !strings.Contains(r.Unread().String(), "2 records could not be checked") {
		t.Errorf("%s, %+v, %d assets", got, r.Unread(), len(r.assets))
	}
	if h := must(HistoryOf(t.Context(), log, Filter{}, "a", 9))(t); h.Unread.Unchecked != 2 {
		t.Errorf("%+v", h)
	}
	c := must(Compare(t.Context(), Party{Log: log}, p.auditor.side(), hour))(t)
	if c.Unread().Unchecked != 2 {
		t.Errorf("%+v", c.Unread())
	}
	if _, err := Measure(c, measureOptions(Inventory)); !errors.Is(err, ErrUnverified) {
		t.Errorf("%v", err)
	}
	log.Verify = scitt.SelfCertifying(nil, nil).Verifier(map[string]scitt.Key{issuer: must(scitt.NewKey(p.provider.key.Public()))(t)})
	if got, r := kinds(log); got != "1 signature " || r.Unread().Any() || len(r.assets) != 1 {
		t.Errorf("with the key: %s, %+v, %d assets", got, r.Unread(), len(r.assets))
	}
}
