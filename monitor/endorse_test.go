package monitor

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// transparent makes the Transparent Statement of an entry of a party's log,
// with a receipt by the log's key.
func (p *party) transparent(index int, key crypto.Signer) []byte {
	p.t.Helper()
	view := staticLog(p.t, p.origin(), p.entries)
	entry := p.entries[index]
	proof := must(view.Inclusion(p.t.Context(), uint64(index), scitt.LeafHash(entry)))(p.t)
	tree := must(scitt.SignTree(key, "https://"+p.origin(), p.origin(), at(noon), view.Checkpoint.Root))(p.t)
	return scitt.AttachReceipts(must(scitt.ParseStatement(entry))(p.t), tree.Receipt(proof))
}

func verifier(t testing.TB, key crypto.Signer) *scitt.Verifier {
	return &scitt.Verifier{LogKeys: scitt.KeySet{must(scitt.NewKey(key.Public()))(t)}}
}

func TestAcknowledgement(t *testing.T) {
	key := testKey("log")
	v := verifier(t, key)
	p := newParty(t, "provider", scitt.TypeRecord)
	p.record(inventory(Create, noon, "host-2", "host-1"))
	p.hash = true
	p.record(inventory(Create, noon, "host-3"))
	inline, hashed := p.transparent(0, key), p.transparent(1, key)
	content := p.blobs[sha256.Sum256(must(NewRecord(encode(inventory(Create, noon, "host-3")), Inventory, ""))(t).Payload)]

	ack := func(v *scitt.Verifier, transparent, content []byte, asset string, upstream []string, note string) (*Acknowledgement, error) {
		return NewAcknowledgement(v, Acknowledgement{Asset: asset, Home: "log.customer.example", Upstream: upstream, Note: note, Transparent: transparent}, content)
	}
	a := must(ack(v, inline, nil, "vm-7", []string{"host-1"}, "rack 4"))(t)
	payload := must(a.payload())(t)
	golden(t, "acknowledgement.json", payload)
	again := must(parseAcknowledgement(payload))(t)
	if err := again.Verify(v, nil); err != nil {
		t.Error(err)
	}
	s := must(scitt.ParseStatement(must(testlog.SignAs(testKey("customer"), a, scitt.SignOptions{IssuedAt: at(noon)}))(t)))(t)
	if s.Type != scitt.TypeAcknowledgement || s.Subject != "acknowledgement/"+a.Entry.EntryID || !bytes.Equal(s.Payload, payload) {
		t.Errorf("%+v", s)
	}
	if all := must(ack(v, inline, nil, "vm-7", nil, ""))(t); !slices.Equal(all.Upstream, []string{"host-1", "host-2"}) {
		t.Errorf("upstream %q", all.Upstream)
	}
	h := must(ack(v, hashed, content, "vm-8", nil, ""))(t)
	if err := errors.Join(h.Verify(v, nil), h.Verify(v, content)); err != nil || h.Entry.Index != 1 {
		t.Errorf("%+v: %v", h.Entry, err)
	}
	if err := h.Verify(v, []byte("other")); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}

	tampered := slices.Clone(inline)
	tampered[len(tampered)/2] ^= 1
	for name, err := range map[string]error{
		"tampered":         second(ack(v, tampered, nil, "vm", nil, "")),
		"no receipt":       second(ack(v, p.entries[0], nil, "vm", nil, "")),
		"another log":      second(ack(verifier(t, testKey("other")), inline, nil, "vm", nil, "")),
		"not its asset":    second(ack(v, inline, nil, "vm", []string{"host-9"}, "")),
		"no own asset":     second(ack(v, inline, nil, "", nil, "")),
		"no artifact":      second(ack(v, hashed, nil, "vm", nil, "")),
		"another artifact": second(ack(v, hashed, []byte("{}"), "vm", nil, "")),
		"no home":          second(NewAcknowledgement(v, Acknowledgement{Asset: "vm", Transparent: inline}, nil)),
		"bad text":         second(ack(v, inline, nil, "vm", nil, "\xff")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, edit := range map[string]func(*Acknowledgement){
		"index":     func(a *Acknowledgement) { a.Entry.Index++ },
		"origin":    func(a *Acknowledgement) { a.Entry.Origin = "x" },
		"id":        func(a *Acknowledgement) { a.Entry.EntryID = h.Entry.EntryID },
		"statement": func(a *Acknowledgement) { a.Transparent = hashed },
		"asset":     func(a *Acknowledgement) { a.Upstream = []string{"host-9"} },
	} {
		b := *again
		edit(&b)
		if err := must(parseAcknowledgement(must(b.payload())(t)))(t).Verify(v, nil); err == nil {
			t.Errorf("another %s: verified", name)
		}
	}
}

func endorsement(verdict Verdict, entry EntryRef, from, until int64, scope ...string) *Endorsement {
	e := &Endorsement{Entry: entry, Home: "log.auditor.example", Verdict: verdict, Scope: scope, From: at(noon + from*minute)}
	if until != 0 {
		e.Until = at(noon + until*minute)
	}
	return e
}

func TestEndorsement(t *testing.T) {
	key := testKey("log")
	p := newParty(t, "provider", scitt.TypeRecord)
	p.record(inventory(Create, noon, "a"))
	p.record(inventory(Create, noon, "b"))
	entry := EntryRef{idOf(t, p.entries[0]).String(), 0, p.origin()}
	e := endorsement(Endorse, entry, 0, 60*24, "configuration", "existence")
	e.Reason, e.Transparent = "seen on site", p.transparent(0, key)
	payload := must(e.Payload())(t)
	golden(t, "endorsement.json", payload)
	golden(t, "dispute.json", must(endorsement(Dispute, entry, 0, 0, "existence").Payload())(t))
	golden(t, "withdrawal.json", must(endorsement(Withdraw, entry, 0, 0).Payload())(t))
	again := must(ParseEndorsement(payload))(t)
	if err := again.Verify(verifier(t, key)); err != nil {
		t.Error(err)
	}
	if err := again.Verify(verifier(t, testKey("other"))); !errors.Is(err, scitt.ErrUnknownKey) {
		t.Error(err)
	}
	again.Transparent = p.transparent(1, key)
	if err := again.Verify(verifier(t, key)); !errors.Is(err, scitt.ErrProof) {
		t.Error(err)
	}
	s := must(scitt.ParseStatement(must(testlog.SignAs(testKey("auditor"), e, scitt.SignOptions{IssuedAt: at(noon)}))(t)))(t)
	if s.Type != scitt.TypeEndorsement || s.Subject != "endorsement/"+entry.EntryID {
		t.Errorf("%+v", s)
	}
	for name, bad := range map[string]*Endorsement{
		"no scope":            endorsement(Endorse, entry, 0, 60),
		"no end":              endorsement(Endorse, entry, 0, 0, "a"),
		"ends before":         endorsement(Endorse, entry, 60, 60, "a"),
		"no start":            {Entry: entry, Home: "h", Verdict: Dispute, Scope: []string{"a"}},
		"no home":             {Entry: entry, Verdict: Withdraw, From: at(noon)},
		"home is not UTF-8":   {Entry: entry, Home: "\xff", Verdict: Withdraw, From: at(noon)},
		"scope unordered":     endorsement(Dispute, entry, 0, 0, "b", "a"),
		"scope twice":         endorsement(Dispute, entry, 0, 0, "a", "a"),
		"scope no token":      endorsement(Dispute, entry, 0, 0, "A"),
		"scope long":          endorsement(Dispute, entry, 0, 0, strings.Repeat("a", maxToken+1)),
		"withdrawal's scope":  endorsement(Withdraw, entry, 0, 0, "a"),
		"withdrawal's end":    endorsement(Withdraw, entry, 0, 9),
		"verdict":             endorsement("praise", entry, 0, 9, "a"),
		"id":                  endorsement(Dispute, EntryRef{"AB", 0, "o"}, 0, 0, "a"),
		"origin":              endorsement(Dispute, EntryRef{entry.EntryID, 0, ""}, 0, 0, "a"),
		"index":               endorsement(Dispute, EntryRef{entry.EntryID, jsonx.MaxInteger + 1, "o"}, 0, 0, "a"),
		"parts of a second":   {Entry: entry, Home: "h", Verdict: Withdraw, From: at(noon + 1)},
		"reason is not UTF-8": {Entry: entry, Home: "h", Verdict: Withdraw, From: at(noon), Reason: "\xff"},
	} {
		if _, err := bad.Payload(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, edit := range [][2]string{
		{`{"entry"`, `{ "entry"`}, {`{"entry"`, `{"more":1,"entry"`}, {`"verdict":"endorse"`, `"verdict":"endorse","verdict":"endorse"`},
		{`"verdict"`, `"Verdict"`}, {formatEndorsement, "x"}, {`"from":"2026-01-01T12:00:00Z"`, `"from":"2026-01-01T12:00:00.5Z"`},
		{`"from":"2026-01-01T12:00:00Z"`, `"from":"2026-01-01T13:00:00+01:00"`}, {`"index":0`, `"index":0.0`}, {`"index":0`, `"index":-1`},
	} {
		changed := strings.Replace(string(payload), edit[0], edit[1], 1)
		if changed == string(payload) {
			t.Fatalf("no %s", edit[0])
		}
		if _, err := ParseEndorsement([]byte(changed)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", edit[1], err)
		}
	}
}

// signAs signs an endorsement with another sub than its own.
func (e *Endorsement) signAs(key crypto.Signer, sub string) ([]byte, error) {
	payload, err := e.Payload()
	if err != nil {
		return nil, err
	}
	return scitt.SignStatement(key, scitt.SignOptions{IssuedAt: at(noon), Type: scitt.TypeEndorsement, Subject: sub, ContentType: ContentType}, payload)
}

func TestEvaluate(t *testing.T) {
	id := scitt.EntryID(sha256.Sum256([]byte("entry")))
	target := EntryRef{id.String(), 5, "provider"}
	n := uint64(0)
	says := func(issuer string, e *Endorsement) Registered {
		n++
		self := EntryRef{scitt.EntryID(sha256.Sum256(fmt.Append(nil, n))).String(), n, "log.auditor.example"}
		return Registered{*e, self, issuer, noon / 1000}
	}
	good := says("A", endorsement(Endorse, target, 0, 100, "configuration", "existence"))
	short := says("A", endorsement(Endorse, target, 0, 10, "existence"))
	later := says("B", endorsement(Endorse, target, 50, 100, "owner"))
	dispute := says("C", endorsement(Dispute, target, 20, 40, "existence"))
	other := says("C", endorsement(Dispute, target, 0, 0, "owner"))
	elsewhere := says("C", endorsement(Dispute, EntryRef{good.Self.EntryID, 5, "provider"}, 0, 0, "configuration"))
	withdrawal := says("A", endorsement(Withdraw, good.Self, 70, 0))
	foreign := says("C", endorsement(Withdraw, good.Self, 0, 0))
	retracted := says("C", endorsement(Withdraw, other.Self, 60, 0))
	all := []Registered{withdrawal, good, foreign, short, elsewhere, later, dispute, retracted, other}
	for _, c := range []struct {
		minute int64
		want   string
	}{
		{-1, "1 not_yet, 2 not_yet, 3 not_yet, 4 not_yet, 5 not_yet"},
		{0, "1 holds, 2 holds, 3 not_yet, 4 not_yet, 5 holds"},
		{10, "1 holds, 2 expired, 3 not_yet, 4 not_yet, 5 holds"},
		{20, "1 disputed by 4, 2 expired, 3 not_yet, 4 holds, 5 holds"},
		{40, "1 holds, 2 expired, 3 not_yet, 4 expired, 5 holds"},
		{50, "1 holds, 2 expired, 3 disputed by 5, 4 expired, 5 holds"},
		{60, "1 holds, 2 expired, 3 holds, 4 expired, 5 withdrawn by 9"},
		{70, "1 withdrawn by 7, 2 expired, 3 holds, 4 expired, 5 withdrawn by 9"},
		{100, "1 withdrawn by 7, 2 expired, 3 expired, 4 expired, 5 withdrawn by 9"},
	} {
		var got []string
		for _, s := range Evaluate(all, nil, id, at(noon+c.minute*minute)) {
			text := fmt.Sprintf("%d %s", s.Self.Index, s.Standing)
			for _, by := range s.By {
				text += fmt.Sprintf(" by %d", by.Index)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("minute %d: %s\nwant %s", c.minute, text, c.want)
		}
	}
	if got := Evaluate(all, nil, scitt.EntryID{}, at(noon)); len(got) > 0 {
		t.Errorf("of another entry: %+v", got)
	}
}

func TestEndorsements(t *testing.T) {
	a := newParty(t, "auditor", scitt.TypeObservation)
	entry := EntryRef{scitt.EntryID{}.String(), 0, "provider"}
	sign := func(key crypto.Signer, hash bool) []byte {
		return must(testlog.SignAs(key, endorsement(Dispute, entry, 0, 0, "x"), scitt.SignOptions{IssuedAt: at(noon), Hash: hash}))(t)
	}
	a.add(sign(a.key, false))
	a.add(testStatement(t, "x"))
	a.add(sign(testKey("other"), false))
	a.add(sign(a.key, true)) // its artifact is nowhere
	forged := must(testlog.SignAs(testKey("other"), endorsement(Dispute, entry, 0, 0, "y"), scitt.SignOptions{IssuedAt: at(noon), Issuer: a.issuer()}))(t)
	a.add(forged)
	a.add(must(scitt.SignStatement(a.key, scitt.SignOptions{Subject: "x", Type: scitt.TypeEndorsement}, []byte("{}")))(t))
	a.add(must(endorsement(Dispute, entry, 0, 0, "z").signAs(a.key, "endorsement/x"))(t))
	found, bad, err := Endorsements(t.Context(), a.log(), []string{a.issuer()})
	if err != nil || len(found) != 1 || found[0].Self.Index != 0 || found[0].Issuer != a.issuer() || found[0].Issued != noon/1000 {
		t.Errorf("%+v, %v", found, err)
	}
	var flaws []string
	for _, b := range bad {
		flaws = append(flaws, fmt.Sprintf("%d %s", b.Entry.Index, b.Kind))
	}
	if !slices.Equal(flaws, []string{"3 content_missing", "4 signature", "5 invalid", "6 invalid"}) {
		t.Errorf("%q", flaws)
	}
	if found, _, err = Endorsements(t.Context(), a.log(), nil); err != nil || len(found) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}

func FuzzParseEndorsement(f *testing.F) {
	entry := EntryRef{scitt.EntryID{}.String(), 0, "provider"}
	for _, e := range []*Endorsement{endorsement(Endorse, entry, 0, 9, "a"), endorsement(Dispute, entry, 0, 0, "a", "b"), endorsement(Withdraw, entry, 0, 0)} {
		payload, err := e.Payload()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEndorsement(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		if payload, err := e.Payload(); err != nil || !bytes.Equal(payload, data) {
			t.Errorf("another spelling was read: %q, %v", data, err)
		}
	})
}

func FuzzParseAcknowledgement(f *testing.F) {
	f.Add(fmt.Appendf(nil, `{"asset":"vm","entry":{"entry_id":"%064d","index":1,"origin":"o"},"format":"conmotion-acknowledgement/1","home":"h","transparent_statement":"%s","upstream_assets":["h"]}`,
		0, base64.StdEncoding.EncodeToString([]byte{0xd2, 0x84})))
	v := &scitt.Verifier{}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseAcknowledgement(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		if payload, err := a.payload(); err != nil || !bytes.Equal(payload, data) {
			t.Errorf("another spelling was read: %q, %v", data, err)
		}
		if a.Verify(v, nil) == nil {
			t.Error("verified without a key")
		}
	})
}
