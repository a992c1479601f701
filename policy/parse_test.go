package policy

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
)

func TestParseErrors(t *testing.T) {
	key := p256(t, "a")
	j := jwk(t, key)
	anchors := func(s string) string { return `{"version": 1, "trust_anchors": {` + s + `}}` }
	keyDoc := func(more string) string {
		return `{"version": 1, "trust_anchors": {"keys": [{"id": "a", "jwk": ` + j + `}]}, ` + more + `}`
	}
	corp := testpki.New(t, "corp")
	for name, c := range map[string]struct {
		doc  string
		want []string // one for each error
	}{
		"empty":              {``, []string{"line 1, column 1: the text ends"}},
		"no JSON":            {"{\n  \"version\": 1,\n  broken\n}", []string{"line 3, column 3: invalid character"}},
		"unquoted":           {"{\"version\": one}", []string{"line 1, column 13: invalid character 'o'"}},
		"array":              {`[]`, []string{"expected an object, found an array"}},
		"trailing":           {`{"version": 1} {}`, []string{"column 16: something follows"}},
		"trailing comma":     {`{"version": 1,}`, []string{"column 14: invalid character"}},
		"UTF-8":              {"{\"version\": 1, \"description\": \"\xff\"}", []string{"column 32: invalid UTF-8"}},
		"no version":         {`{}`, []string{"version: missing"}},
		"version":            {`{"version": 2}`, []string{"column 13: version: expected an integer from 1 to 1, found 2"}},
		"version type":       {`{"version": "1"}`, []string{"expected a number, found a string"}},
		"version 1.0":        {`{"version": 1.0}`, []string{"found 1.0"}},
		"unknown":            {"{\"version\": 1,\n \"isuers\": []}", []string{`line 2, column 2: isuers: unknown field; did you mean "issuers"?`}},
		"unknown, far":       {`{"version": 1, "colour": 1}`, []string{"column 16: colour: unknown field"}},
		"unknown below":      {`{"version": 1, "ocsf": {"mode": "off", "class": [1]}}`, []string{`ocsf.class: unknown field; did you mean "classes"?`}},
		"unknown, quoted":    {`{"version": 1, "a\u0000b": 1}`, []string{`"a\x00b": unknown field`}},
		"duplicate":          {"{\"version\": 1,\n\n  \"version\": 1}", []string{`line 3, column 3: the member "version" is there twice`}},
		"duplicate below":    {`{"version": 1, "ocsf": {"mode": "off", "mode": "off"}}`, []string{`"mode" is there twice`}},
		"duplicate, escaped": {`{"version": 1, "chain": "off", "ch\u0061in": "off"}`, []string{`"chain" is there twice`}},
		"chain":              {`{"version": 1, "chain": "on"}`, []string{`chain: expected one of ["off" "optional" "required"], found "on"`}},
		"artifact":           {`{"version": 1, "artifact": true}`, []string{"expected a string, found a boolean"}},
		"null":               {`{"version": 1, "chain": null}`, []string{"expected a string, found null"}},
		"empty array":        {`{"version": 1, "issuers": []}`, []string{"the array is empty; leave the field out"}},
		"empty text":         {`{"version": 1, "description": ""}`, []string{"the text is empty"}},
		"all together": {`{"version": 3, "chain": "x", "foo": 1, "rules": [{"id": "a"}, {"id": "a", "expr": "sbu == 1", "message": ""}]}`,
			[]string{"version:", "chain:", "foo: unknown", "rules[0].expr: missing", "rules[0].message: missing", `rules[1].id: "a" is there twice`, "rules[1].expr: at character 1", "rules[1].message: the text is empty"}},

		"previous":  {`{"version": 1, "previous": "abc"}`, []string{"previous: malformed: an entry id is 64"}},
		"previous2": {`{"version": 1, "previous": "` + strings.Repeat("A", 64) + `"}`, []string{"lowercase"}},

		"method":           {anchors(`"self_certifying": ["did:web"]`), []string{"self_certifying[0]"}},
		"method twice":     {anchors(`"self_certifying": ["did:jwk", "did:jwk"]`), []string{"there twice"}},
		"key without id":   {anchors(`"keys": [{"jwk": ` + j + `}]`), []string{"keys[0].id: missing"}},
		"key without key":  {anchors(`"keys": [{"id": "a"}]`), []string{"either jwk or cose_key"}},
		"key with both":    {anchors(`"keys": [{"id": "a", "jwk": ` + j + `, "cose_key": "` + coseOf(t, ed("b")) + `"}]`), []string{"either jwk or cose_key"}},
		"key no object":    {anchors(`"keys": ["a"]`), []string{"expected an object, found a string"}},
		"private key":      {anchors(`"keys": [{"id": "a", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "d": "AAAA"}}]`), []string{"private key"}},
		"jwk":              {anchors(`"keys": [{"id": "a", "jwk": {"kty": "EC", "crv": "secp256k1"}}]`), []string{"secp256k1"}},
		"jwk no object":    {anchors(`"keys": [{"id": "a", "jwk": "x"}]`), []string{"expected an object"}},
		"cose_key":         {anchors(`"keys": [{"id": "a", "cose_key": "AA=="}]`), []string{"unpadded base64url"}},
		"cose_key no key":  {anchors(`"keys": [{"id": "a", "cose_key": "oA"}]`), []string{"COSE key type"}},
		"ids":              {anchors(`"keys": [{"id": "a", "jwk": ` + j + `}, {"id": "a", "jwk": ` + jwk(t, ed("b")) + `}]`), []string{`"a" is there twice`}},
		"same key":         {anchors(`"keys": [{"id": "a", "jwk": ` + j + `}, {"id": "b", "jwk": ` + j + `}]`), []string{`the same key as "a"`}},
		"root no PEM":      {anchors(`"x509_roots": [{"id": "a", "pem": "x"}]`), []string{"expected certificates in PEM"}},
		"root empty":       {anchors(`"x509_roots": [{"id": "a", "pem": " "}]`), []string{"expected a certificate in PEM"}},
		"root missing":     {anchors(`"x509_roots": [{"id": "a"}]`), []string{"x509_roots[0].pem: missing"}},
		"root no CA":       {anchors(`"x509_roots": [{"id": "a", "pem": ` + pemOf(corp.Leaf) + `}]`), []string{"not that of a CA"}},
		"root two":         {anchors(`"x509_roots": [{"id": "a", "pem": ` + strings.TrimSuffix(pemOf(corp.Root), `"`) + strings.TrimPrefix(pemOf(corp.Inter), `"`) + `}]`), []string{"2 certificates where one"}},
		"unknown in a key": {anchors(`"keys": [{"id": "a", "jwk": ` + j + `, "kid": "x"}]`), []string{"keys[0].kid: unknown field"}},

		"issuer missing":       {keyDoc(`"issuers": [{"keys": ["a"]}]`), []string{"issuers[0].issuer: missing"}},
		"issuer twice":         {keyDoc(`"issuers": [{"issuer": "x", "keys": ["a"]}, {"issuer": "x"}]`), []string{`issuers[1].issuer: "x" is there twice`}},
		"unknown key":          {keyDoc(`"issuers": [{"issuer": "x", "keys": ["b"]}]`), []string{`no key "b" in trust_anchors.keys`}},
		"did with a key":       {keyDoc(`"issuers": [{"issuer": "` + didJWK(t, key) + `", "keys": ["a"]}]`), []string{"known by its DID alone"}},
		"bad did:jwk":          {keyDoc(`"issuers": [{"issuer": "did:jwk:x"}]`), []string{"did:jwk"}},
		"bad did:key":          {keyDoc(`"issuers": [{"issuer": "did:key:x"}]`), []string{"did:key"}},
		"bad did:x509":         {keyDoc(`"issuers": [{"issuer": "did:x509:x"}]`), []string{"did:x509"}},
		"bad certificate":      {keyDoc(`"issuers": [{"issuer": "x", "certificates": ["did:web:x"]}]`), []string{"did:x509:0:"}},
		"content type":         {keyDoc(`"issuers": [{"issuer": "x", "keys": ["a"], "content_types": ["text/plain; charset=utf-8"]}]`), []string{"without their parameters"}},
		"administrator":        {keyDoc(`"administrators": [{"issuer": "did:jwk:*"}]`), []string{"named exactly"}},
		"administrator's subs": {keyDoc(`"administrators": [{"issuer": "x", "keys": ["a"], "subjects": ["y"]}]`), []string{"administrators[0].subjects: unknown field"}},

		"size":         {`{"version": 1, "limits": {"max_entry_bytes": 65536}}`, []string{"from 1 to 65535"}},
		"size 0":       {`{"version": 1, "limits": {"max_entry_bytes": 0}}`, []string{"found 0"}},
		"size big":     {`{"version": 1, "limits": {"max_entry_bytes": 99999999999999999999}}`, []string{"found 99999999999999999999"}},
		"algorithm":    {`{"version": 1, "limits": {"algorithms": ["RS256"]}}`, []string{`limits.algorithms[0]: "RS256" is none of`}},
		"signature":    {`{"version": 1, "signature": "low"}`, []string{`signature: expected one of ["any" "low-s"], found "low"`}},
		"no algorithm": {`{"version": 1, "limits": {"algorithms": []}}`, []string{"empty"}},

		"ocsf mode":    {`{"version": 1, "ocsf": {}}`, []string{"ocsf.mode: missing"}},
		"ocsf class":   {`{"version": 1, "ocsf": {"mode": "enforce", "classes": [4001]}}`, []string{"class 4001 is not in the OCSF 1.5.0 schema"}},
		"ocsf classes": {`{"version": 1, "ocsf": {"mode": "enforce", "classes": [5023, 5023]}}`, []string{"there twice"}},
		"ocsf version": {`{"version": 1, "ocsf": {"mode": "enforce", "versions": ["1.5"]}}`, []string{"no OCSF version"}},
		"ocsf schema":  {`{"version": 1, "ocsf": {"mode": "enforce", "schema": "x"}}`, []string{"64 lowercase"}},
		"ocsf schema2": {`{"version": 1, "ocsf": {"mode": "enforce", "schema": "` + strings.Repeat("a", 64) + `"}}`, []string{"the built-in schema is loaded"}},

		"rule id":      {`{"version": 1, "rules": [{"id": "A b", "expr": "sub == ''", "message": "m"}]}`, []string{"rules[0].id: an id consists of"}},
		"rule builtin": {`{"version": 1, "rules": [{"id": "chain", "expr": "sub == ''", "message": "m"}]}`, []string{"the id of a built-in check"}},
		"too large":    {`{"version": 1, "description": "` + strings.Repeat("x", maxDocument) + `"}`, []string{"are allowed"}},
		"too deep":     {`{"version": 1, "x": ` + strings.Repeat("[", 100), []string{"nested deeper than 64 levels"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.doc))
			var pe *ParseError
			if !errors.As(err, &pe) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			if len(pe.Errors) != len(c.want) {
				t.Fatalf("%d errors, want %d: %v", len(pe.Errors), len(c.want), err)
			}
			for i, want := range c.want {
				contains(t, pe.Errors[i].Error(), want)
			}
		})
	}
	many := `{"version": 1` + strings.Repeat(`, "x%d": 1`, 100) + `}`
	var n []any
	for i := range 100 {
		n = append(n, i)
	}
	_, err := Parse(fmt.Appendf(nil, many, n...))
	if pe, ok := errors.AsType[*ParseError](err); !ok || len(pe.Errors) != maxErrors {
		t.Errorf("got %v", err)
	}
	var rules []string
	for i := range maxRules + 1 {
		rules = append(rules, fmt.Sprintf(`{"id": "r%d", "expr": "sub == ''", "message": "m"}`, i))
	}
	if _, err := Parse([]byte(`{"version": 1, "rules": [` + strings.Join(rules, ",") + `]}`)); err == nil {
		t.Error("too many rules are taken")
	}
	if _, err := Parse([]byte(`{"version": 1, "rules": [` + strings.Join(rules[1:], ",") + `]}`)); err != nil {
		t.Error(err)
	}
}

func coseOf(t *testing.T, key crypto.Signer) string {
	t.Helper()
	k, err := scitt.NewKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b64(raw)
}

func TestCanonical(t *testing.T) {
	a := parse(t, `{"version": 1, "chain": "off", "description": "ä\u00e4"}`)
	b := parse(t, "{ \"description\":\"\u00e4ä\",\n\"chain\":\"off\", \"version\":1}\n")
	if a.Hash() != b.Hash() || !bytes.Equal(a.Canonical(), b.Canonical()) {
		t.Errorf("%s and %s", a.Canonical(), b.Canonical())
	}
	if got := string(a.Canonical()); got != `{"chain":"off","description":"ää","version":1}` {
		t.Errorf("got %s", got)
	}
	if c := parse(t, `{"version": 1, "description": "ää"}`); c.Hash() == a.Hash() {
		t.Error("another document has the same hash")
	}
	again := parse(t, string(a.Canonical()))
	if again.Hash() != a.Hash() || again.Description() != "ää" {
		t.Error("the canonical form means something else")
	}
	a.Canonical()[0] = 'x'
	if a.Canonical()[0] != '{' {
		t.Error("a caller can change the policy")
	}
}

func TestWithPrevious(t *testing.T) {
	id := scitt.EntryID{1}
	doc, err := WithPrevious([]byte("{\"version\": 1,\n \"previous\": \"x\", \"chain\": \"off\"}"), id)
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, string(doc))
	if got, ok := p.Previous(); !ok || got != id {
		t.Errorf("previous is %v, %v", got, ok)
	}
	if !bytes.Equal(p.Canonical(), doc) {
		t.Error("not canonical")
	}
	if _, ok := Default().Previous(); ok {
		t.Error("the default policy has a previous one")
	}
	for _, bad := range []string{"", "[]", "{", `{"a": 1, "a": 2}`} {
		if _, err := WithPrevious([]byte(bad), id); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(Default().Canonical()))
	f.Add(`{"version": 1, "issuers": [{"issuer": "*", "subjects": ["a*"], "content_types": ["*"]}], "rules": [{"id": "a", "expr": "payload.x.all(a, a == 1)", "message": "m"}]}`)
	f.Add(`{"version": 1, "ocsf": {"mode": "enforce", "classes": [5023], "versions": ["1.5.0"]}, "chain": "required", "artifact": "optional", "limits": {"algorithms": ["ES256"], "max_entry_bytes": 1}}`)
	f.Add(`{"version": 1, "trust_anchors": {"self_certifying": ["did:x509"], "keys": [{"id": "a", "jwk": ` + jwk(f, ed("a")) + `}]}, "administrators": [{"issuer": "x", "keys": ["a"]}]}`)
	s := sign(f, p256(f, "issuer"), scitt.SignOptions{ContentType: "application/json"}, `{"x": [1]}`)
	f.Fuzz(func(t *testing.T, doc string) {
		p, err := Parse([]byte(doc))
		if err != nil {
			pe, ok := errors.AsType[*ParseError](err)
			if !ok || len(pe.Errors) == 0 {
				t.Fatalf("%v", err)
			}
			for _, e := range pe.Errors {
				if e.Line < 1 || e.Column < 1 || e.Line > 1+strings.Count(doc, "\n") {
					t.Fatalf("%v", e)
				}
			}
			return
		}
		again, err := Parse(p.Canonical())
		if err != nil || again.Hash() != p.Hash() || len(Diff(p, again)) > 0 {
			t.Fatalf("the canonical form: %v", err)
		}
		p.Warnings()
		if err := p.Admit(s, NoFacts{}); err != nil && AsRefusal(err) == nil {
			t.Fatal(err)
		}
	})
}

func FuzzContent(f *testing.F) {
	f.Add([]byte(`{"a": [1, 2.5, "x\u00e4", null, true], "b": {"c": -1e9}}`), true)
	f.Add([]byte("\xa2\x01\x61a\x61b\x82\x01\xf5"), false)
	rules := with(f, rule1(`payload == payload && payload.all(k, k == k) || payload.?a.?b.hasValue() || size(payload) >= 0`))
	f.Fuzz(func(t *testing.T, content []byte, json bool) {
		if len(content) > 1<<14 {
			return
		}
		o := scitt.SignOptions{ContentType: "application/cbor"}
		if json {
			o.ContentType = "application/json"
		}
		e := evaluation{p: rules, s: sign(t, ed("issuer"), o, string(content)), facts: NoFacts{}}
		if err := e.content(); err != nil {
			t.Fatal(err)
		}
	})
}
