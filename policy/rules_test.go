package policy

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
)

// TestRulesSee has an expression for each thing that rules see; all are true
// of the one statement and none of the other.
func TestRulesSee(t *testing.T) {
	key := p256(t, "issuer")
	prev := make([]byte, 32)
	s := sign(t, key, scitt.SignOptions{Subject: "a", ContentType: "application/json", Type: scitt.TypeRecord, IssuedAt: at(1000),
		Chain: &scitt.ChainLink{Name: "c", Seq: 7, Prev: prev}}, `{"n": 1, "f": 1.5, "big": 18446744073709551615, "s": "x", "l": [1, 2], "o": {"k": null}, "t": true}`)
	other := sign(t, ed("issuer"), scitt.SignOptions{Subject: "b", Hash: true, Location: "https://x", ContentType: "application/cbor"}, "x")
	for _, expr := range []string{
		`iss == "` + didJWK(t, key) + `"`, `sub == "a"`, `iat == 1000`, `alg == "ES256"`,
		`size(kid) == 32 && kid == header[4] && kid != header[1] && sub == "a"`, `typ == "application/vnd.conmotion.record+cose"`, `content_type == "application/json"`,
		`header[1] == -7`, `header[15][2] == "a"`, `header["chain"][1] == 7`, `claims[6] == 1000`, `claims[2] == "a"`, `has(header.chain)`, `1u in header && header[1.0] == -7`,
		fmt.Sprintf("entry_size == %d", len(s.Entry())), fmt.Sprintf("payload_size == %d", len(s.Payload)),
		`payload.n == 1 && payload.f == 1.5 && payload.n < payload.f`, `payload.big == 18446744073709551615u`, `payload.s == "x"`,
		`payload.l == [1, 2] && 2 in payload.l`, `payload.o.k == null`, `payload.t == true`, `size(payload) == 7 && type(payload.o) == map`,
		`payload.map(k, k) == ["n", "f", "big", "s", "l", "o", "t"]`, `payload.l.all(x, x > 0)`, `payload == payload && payload.o != payload`,
		`has(payload.o.k) && !has(payload.o.x)`, `payload.?missing.?x.orValue("none") == "none" && iat == 1000`, `payload["s"].matches("^x$")`,
		`!envelope.present && payload.n == 1`, `chain.present && chain.name == "c" && chain.seq == 7 && size(chain.prev) == 32`,
	} {
		p := with(t, rule1(expr))
		if err := p.Admit(s, NoFacts{}); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
		refused(t, p.Admit(other, NoFacts{}), "r")
	}
	for _, expr := range []string{
		`envelope.present && envelope.alg == -16 && size(envelope.digest) == 32 && envelope.location == "https://x" && envelope.content_type == "application/cbor"`,
		`header[258] == -16`, `iat == 0`, `alg == "EdDSA"`, `!chain.present`,
	} {
		p := with(t, rule1(expr))
		admitted(t, p.Admit(other, NoFacts{}))
		refused(t, p.Admit(s, NoFacts{}), "r")
	}
}

// TestRulesSeeLargeNumbers: a header parameter may be any unsigned integer of 64
// bits. What is larger, or negative beyond that, no rule can read.
func TestRulesSeeLargeNumbers(t *testing.T) {
	s := *sign(t, p256(t, "issuer"), scitt.SignOptions{}, "x")
	for text, readable := range map[string]bool{"9223372036854775808": true, "18446744073709551615": true, "18446744073709551616": false, "-9223372036854775809": false} {
		n, _ := new(big.Int).SetString(text, 10)
		s.Header = map[any]any{"x": *n}
		if !readable {
			contains(t, refused(t, with(t, rule1(`has(header.x)`)).Admit(&s, NoFacts{}), "r"), "more than 64 bits")
			continue
		}
		admitted(t, with(t, rule1(`header.x == `+text+`u`)).Admit(&s, NoFacts{}))
	}
}

func TestNoCertificate(t *testing.T) {
	p := with(t, rule1(`!cert.present && cert.thumbprint == "" && cert.serial == "" && size(cert.path) == 0 && size(cert.subject) == 0 &&
		size(cert.issuer) == 0 && size(cert.dns + cert.uri + cert.email + cert.eku) == 0 && cert.not_before == 0 && cert.not_after == 0`))
	admitted(t, p.Admit(sign(t, p256(t, "issuer"), scitt.SignOptions{}, "x"), NoFacts{}))
}

func TestCBORPayload(t *testing.T) {
	key := p256(t, "issuer")
	payload, err := cbor.Marshal(map[any]any{1: "one", "b": []byte("x"), -5: 1.5, "t": cbor.Tag{Number: 99, Content: "c"},
		"n": nil, "u": uint64(1) << 63, "a": []any{true}, "time": cbor.Tag{Number: 1, Content: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	s := sign(t, key, scitt.SignOptions{ContentType: "application/example+cbor"}, string(payload))
	for _, expr := range []string{`payload[1] == "one"`, `payload.b == b"x"`, `payload[-5] == 1.5`, `payload.t.tag == 99 && payload.t.value == "c"`,
		`payload.n == null`, `payload.u == 9223372036854775808u`, `payload.a[0] == true`, `payload.time == "1970-01-01T00:16:40Z"`,
		`payload.map(k, k) == [-5, 1, "a", "b", "n", "t", "time", "u"]`} {
		admitted(t, with(t, rule1(expr)).Admit(s, NoFacts{}))
	}
	refused(t, with(t, rule1(`payload[2] == "one"`)).Admit(s, NoFacts{}), "r")
}

// TestUnreadable: what a rule cannot read is a refusal and says why.
func TestUnreadable(t *testing.T) {
	for name, c := range map[string]struct{ contentType, payload, expr, want string }{
		"missing member":        {"application/json", `{}`, `payload.x == 1`, "no such key"},
		"has below missing":     {"application/json", `{}`, `has(payload.missing.x)`, "no such key"},
		"JSON twice":            {"application/json", `{"x": 1, "x": 1}`, `payload.x == 1`, `"x" is there twice`},
		"JSON trailing":         {"application/json", `{"x": 1} 2`, `payload.x == 1`, "follows"},
		"no JSON":               {"application/json", `{"x": 1`, `payload.x == 1`, "single meaning"},
		"no type":               {"", `{"x": 1}`, `payload.x == 1`, "neither JSON nor CBOR"},
		"text":                  {"text/plain", `{"x": 1}`, `payload.x == 1`, "neither JSON nor CBOR"},
		"CBOR twice":            {"application/cbor", "\xa2\x01\x01\x01\x01", `payload[1] == 1`, "single meaning"},
		"CBOR bignum":           {"application/cbor", "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", `payload == 1`, "more than 64 bits"},
		"CBOR map key":          {"application/cbor", "\xa1\xf9\x3e\x00\x01", `payload != 1`, "map key of type double"},
		"wrong type":            {"application/json", `{"x": "1"}`, `payload.x > 1`, "no such overload"},
		"number of an array":    {"application/json", `[1]`, `payload[5] == 1`, "index"},
		"not a member":          {"application/json", `1`, `payload.x == 1`, "no such key"},
		"deep":                  {"application/json", strings.Repeat("[", 70) + strings.Repeat("]", 70), `payload != 1`, "nested deeper than 64 levels"},
		"conversion":            {"application/json", `{}`, `int(content_type) == 1`, "error"},
		"division":              {"application/json", `{"x": 0}`, `1 / payload.x == 1`, "division"},
		"map as a text":         {"application/json", `{}`, `string(payload) == ""`, "no such overload"},
		"overflow":              {"application/json", `{"x": 9223372036854775807}`, `payload.x + 1 > 0`, "overflow"},
		"surrogate":             {"application/json", `{"x": "\ud800"}`, `payload.x != ""`, "surrogate"},
		"set of unhashable":     {"application/json", `{"x": []}`, `payload.x in ["a", "b"]`, ""},
		"artifact of an inline": {"application/json", `{}`, `artifact.content != 1`, "no hash envelope"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sign(t, p256(t, "issuer"), scitt.SignOptions{ContentType: c.contentType}, c.payload)
			contains(t, refused(t, with(t, `"artifact": "optional", `+rule1(c.expr)).Admit(s, NoFacts{}), "r"), "the message", c.want)
		})
	}
}

// TestRefusedRules: rules that do not come into a policy at all.
func TestRefusedRules(t *testing.T) {
	for expr, want := range map[string]string{
		`now() > 0`: "undeclared reference to 'now'",
		`timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T00:00:00Z")`: "undeclared reference to 'timestamp'",
		`duration("1s") == duration("1s")`:                                       "undeclared reference to 'duration'",
		`payload.getHours("Europe/Paris") > 0`:                                   "undeclared reference to 'getHours'",
		`sub ==`:                                                                 "Syntax error",
		`sbu == "x"`:                                                             "undeclared reference to 'sbu'",
		`cert.subjct == "x"`:                                                     "undeclared reference",
		`sub`:                                                                    "gives string, not bool",
		`payload`:                                                                "gives dyn, not bool",
		`sub == 1`:                                                               "no matching overload",
		`{"a": 1}.all(k, true)`:                                                  "map {...}",
		`google.protobuf.Struct{} == payload`:                                    "",
		`sub.matches(iss)`:                                                       "must be a literal",
		`sub.matches("(")`:                                                       "invalid matches argument",
		`payload.all(a, payload.all(b, payload.all(c, a == b)))`:                               "are allowed",
		`payload.all(a, payload.map(b, b + a) != [])`:                                          "are allowed",
		`[1,2,3,4,5,6,7,8,9].all(a, payload.exists(b, payload.exists(c, b.contains(c.name))))`: "are allowed",
		strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100):                           "recursion",
		`sub == "` + strings.Repeat("x", maxExpr) + `"`:                                        "size",
		`artifact.stored`: `"artifact" is "off"`,
		`head.seq > 1`:    `"chain" is "off"`,
	} {
		_, err := Parse([]byte(`{"version": 1, ` + rule1(expr) + `}`))
		if err == nil {
			t.Errorf("%.80s: taken", expr)
			continue
		}
		contains(t, err.Error(), "rules[0]", want)
	}
}

// TestRunTimeCost: an expression that is cheap for content of the assumed size
// and dear for a larger one is a refusal there.
func TestRunTimeCost(t *testing.T) {
	p := with(t, rule1(`payload.all(a, payload.exists(b, a == b))`))
	distinct := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",%d", i)
		}
		return "[" + b.String()[1:] + "]"
	}
	key := p256(t, "issuer")
	admitted(t, p.Admit(sign(t, key, scitt.SignOptions{ContentType: "application/json"}, distinct(100)), NoFacts{}))
	detail := refused(t, p.Admit(sign(t, key, scitt.SignOptions{ContentType: "application/json"}, distinct(10000)), NoFacts{}), "r")
	contains(t, detail, "cost limit")
}

// TestDeterministic: maps keep their order, so that a rule gives one answer.
func TestDeterministic(t *testing.T) {
	var members []string
	for i := range 50 {
		members = append(members, fmt.Sprintf(`"m%d": %d`, 97*i%50, i))
	}
	payload := "{" + strings.Join(members, ", ") + "}"
	s := sign(t, p256(t, "issuer"), scitt.SignOptions{ContentType: "application/json"}, payload)
	p := with(t, rule1(`payload.map(k, k)[0] == "m0" && payload.map(k, payload[k])[49] == 49 && claims.map(k, k) == [1, 2] && payload == payload`))
	for range 20 {
		admitted(t, p.Admit(s, NoFacts{}))
	}
}

func TestConcurrent(t *testing.T) {
	p := with(t, tenRules+`, "ocsf": {"mode": "enforce"}`)
	event := event2K(t)
	done := make(chan error)
	for i := range 4 {
		s := sign(t, p256(t, fmt.Sprint(i)), scitt.SignOptions{Subject: "bench/1", ContentType: "application/json", Type: scitt.TypeRecord}, event)
		go func() {
			var err error
			for range 50 {
				if err = p.Admit(s, NoFacts{}); err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range 4 {
		admitted(t, <-done)
	}
}
