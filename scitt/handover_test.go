package scitt_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

func TestHandover(t *testing.T) {
	from, to := newKey(t, "ES256"), newKey(t, "EdDSA")
	first := newStatement(t, from, scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c"}}, nil)
	h := testlog.NewHandover(t, "c", from, to)
	parse := func(entry []byte) *scitt.Statement {
		t.Helper()
		s, err := scitt.ParseStatement(entry)
		must(t, err)
		return s
	}
	given := parse(testlog.Handover(t, from, h, first.Entry()))
	taken := parse(testlog.Handover(t, to, h, given.Entry()))
	for _, s := range []*scitt.Statement{given, taken} {
		if got, err := s.Handover(); err != nil || got.From != h.From || got.To != h.To || got.Chain != "c" || !bytes.Equal(got.Key, h.Key) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if given.GivenChain() != string(given.Payload) || taken.GivenChain() != "" || first.GivenChain() != "" {
		t.Error("it is the old issuer that gives the chain, with its handover")
	}
	payload := given.Payload
	link := testlog.After(t, first.Entry())
	for name, o := range map[string]scitt.SignOptions{
		"another type":         {Type: scitt.TypeRecord, ContentType: scitt.MediaTypeHandover, Chain: link},
		"another content type": {Type: scitt.TypeHandover, ContentType: "application/cbor", Chain: link},
		"a hash":               {Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover, Chain: link, Hash: true},
		"no chain":             {Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover},
		"another chain":        {Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover, Chain: &scitt.ChainLink{Name: "d"}},
		"by a stranger":        {Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover, Chain: link, Issuer: "https://stranger.example"},
	} {
		o.Subject = "c/handover"
		data, err := scitt.SignStatement(from, o, payload)
		must(t, err)
		if s := parse(data); s.GivenChain() != "" {
			t.Errorf("%s gives a chain away", name)
		} else if _, err := s.Handover(); !errors.Is(err, scitt.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]scitt.Handover{
		"to itself": {Chain: "c", From: h.From, To: h.From, Key: h.Key}, "no chain": {From: h.From, To: h.To, Key: h.Key},
		"no key": {Chain: "c", From: h.From, To: h.To}, "nobody": {Chain: "c", From: h.From, Key: h.Key}, "of nobody": {Chain: "c", To: h.To, Key: h.Key},
	} {
		if _, err := bad.Marshal(); !errors.Is(err, scitt.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseHandover(f *testing.F) {
	h := testlog.NewHandover(f, "c", newKey(f, "ES256"), newKey(f, "ES256"))
	data, err := h.Marshal()
	must(f, err)
	f.Add(data)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := scitt.ParseHandover(data)
		if err != nil {
			if scitt.ProblemOf(err) == nil {
				t.Fatalf("no answer for %v", err)
			}
			return
		}
		if again, err := h.Marshal(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("encoded again as %x, %v", again, err)
		}
	})
}
