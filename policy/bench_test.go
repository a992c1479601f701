package policy

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// event2K is an OCSF event of 2 KiB.
func event2K(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("ocsf/testdata/inventory_provider.json")
	if err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(data, &event); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	event["message"] = strings.Repeat("x", max(0, 2048-len(out)-len(`"message":"",`)))
	if out, err = json.Marshal(event); err != nil {
		t.Fatal(err)
	}
	if len(out) < 2000 || len(out) > 2100 {
		t.Fatalf("the event has %d bytes", len(out))
	}
	return string(out)
}

const tenRules = `"rules": [
	{"id": "r0", "message": "m", "expr": "payload.metadata.version.startsWith('1.')"},
	{"id": "r1", "message": "m", "expr": "payload.class_uid in [5001, 5023, 5019, 3004, 2003, 2004]"},
	{"id": "r2", "message": "m", "expr": "payload.metadata.event_code.matches('^(inventory|configuration)[.](create|modify|delete)$')"},
	{"id": "r3", "message": "m", "expr": "payload.resources.all(r, has(r.uid) && size(r.uid) < 200)"},
	{"id": "r4", "message": "m", "expr": "payload.time > 1600000000000 && payload.time < 4000000000000"},
	{"id": "r5", "message": "m", "expr": "sub.startsWith('bench/') && size(sub) <= 100"},
	{"id": "r6", "message": "m", "expr": "iss.startsWith('did:jwk:') && alg in ['ES256', 'EdDSA']"},
	{"id": "r7", "message": "m", "expr": "typ == 'application/vnd.conmotion.record+cose' && payload_size < 8192"},
	{"id": "r8", "message": "m", "expr": "!cert.present && !envelope.present && header[1] == -7"},
	{"id": "r9", "message": "m", "expr": "payload.?cloud.?provider.orValue('none') != '' && payload.severity_id >= 0"}]`

// BenchmarkAdmit separates what the signature costs from the rest: "all" less
// "signature" is the evaluation.
func BenchmarkAdmit(b *testing.B) {
	key := p256(b, "issuer")
	s := sign(b, key, scitt.SignOptions{Subject: "bench/1", ContentType: "application/json", Type: scitt.TypeRecord}, event2K(b))
	p := with(b, `"ocsf": {"mode": "enforce"}, `+tenRules)
	admitted(b, p.Admit(s, NoFacts{}))

	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Admit(s, NoFacts{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signature", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.VerifySignature(key.Public()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e := evaluation{p: p, s: s, facts: NoFacts{}}
			g, _ := e.identify()
			_, err := p.anchors.Signer(s, g.known(s.Issuer))
			if err := errors.Join(err, e.content(), e.refusal()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rest/ocsf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e := evaluation{p: p, s: s, facts: NoFacts{}}
			e.checkOCSF()
		}
	})
	b.Run("rest/rules", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e := evaluation{p: p, s: s, facts: NoFacts{}}
			for _, r := range p.rules {
				e.rule(r)
			}
		}
	})
	b.Run("rest/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e := evaluation{s: s}
			if _, err := e.parseContent(s.Payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("default", func(b *testing.B) {
		p := Default()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Admit(s, NoFacts{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	doc := with(b, tenRules).Canonical()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}
