package policy

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
)

var update = flag.Bool("update", false, "write testdata/policies anew")

const examplesDir = "../testdata/policies"

// example is one file of testdata/policies with what it admits and refuses.
type example struct {
	doc    string
	admits map[string]*scitt.Statement
	bans   map[string]*scitt.Statement // by the checks that refuse it
	facts  Facts
}

// examples makes the policies and keys of testdata/policies. All keys are
// derived from their names: anybody can make them, they protect nothing.
func examples(t testing.TB) (docs map[string]example, keys map[string][]byte) {
	t.Helper()
	keys = map[string][]byte{}
	signer := map[string]crypto.Signer{}
	for _, name := range []string{"administrator", "provider", "customer", "auditor", "stranger"} {
		signer[name] = p256(t, "example "+name)
	}
	signer["auditor"] = ed("example auditor")
	corp := testpki.New(t, "Example Corporation")
	signer["corporate-signer"] = corp.Leaf.Key
	for name, key := range signer {
		data, err := scitt.MarshalPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		keys[name+".pem"] = data
	}
	for _, c := range []*testpki.Cert{corp.Leaf, corp.Inter} {
		keys["corporate-signer-chain.pem"] = append(keys["corporate-signer-chain.pem"], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}

	event := func(name string) string {
		data, err := os.ReadFile("ocsf/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	inventory, measurement := event("inventory_provider.json"), event("measurement.json")
	by := func(name string, o scitt.SignOptions, content string) *scitt.Statement {
		if o.ContentType == "" {
			o.ContentType = "application/json"
		}
		return sign(t, signer[name], o, content)
	}
	as := func(issuer, subject string) scitt.SignOptions {
		return scitt.SignOptions{Issuer: "https://" + issuer + ".example", Subject: subject}
	}
	typed := func(o scitt.SignOptions, typ string) scitt.SignOptions { o.Type = typ; return o }
	did := func(name string) string { return didJWK(t, signer[name]) }
	key := func(names ...string) string {
		var out []string
		for _, n := range names {
			out = append(out, `{"id": "`+n+`", "jwk": `+jwk(t, signer[n])+`}`)
		}
		return `"keys": [` + strings.Join(out, ", ") + `]`
	}
	admin := `"administrators": [{"issuer": "` + did("administrator") + `"}]`
	corporate := func(issuer string) *scitt.Statement {
		return sign(t, corp.Leaf.Key, scitt.SignOptions{Issuer: issuer, IssuedAt: at(1_800_000_000), X5Chain: testpki.Chain(corp.Leaf, corp.Inter)}, "x")
	}
	outside := testpki.New(t, "Outside")
	chain := func(seq uint64, prev []byte) *scitt.Statement {
		o := as("provider", "inventory/eu-1")
		o.Chain = &scitt.ChainLink{Name: "inventory", Seq: seq, Prev: prev}
		return by("provider", o, inventory)
	}
	first := chain(0, nil)
	firstID := first.ID()
	heads := &chainHeads{}
	heads.Add(first, 2)

	docs = map[string]example{
		"open.json": {
			doc: `{"version": 1, "description": "Anybody with a did:jwk or did:key may register anything.",
				"trust_anchors": {"self_certifying": ["did:jwk", "did:key"]}, ` + admin + `}`,
			admits: map[string]*scitt.Statement{"anybody": by("stranger", scitt.SignOptions{}, "x")},
			bans:   map[string]*scitt.Statement{CheckKey: by("provider", as("provider", "x"), "x")},
		},
		"one-provider.json": {
			doc: `{"version": 1, "description": "One provider publishes its inventory and configuration as JSON, and nobody else anything.",
				"trust_anchors": {` + key("provider") + `}, "issuers": [{"issuer": "https://provider.example", "keys": ["provider"],
				"subjects": ["inventory/*", "configuration/*"], "content_types": ["application/json"]}], ` + admin + `, "signature": "low-s", "limits": {"max_entry_bytes": 16384, "algorithms": ["ES256"]}}`,
			admits: map[string]*scitt.Statement{"provider": by("provider", as("provider", "inventory/eu-1"), inventory)},
			bans: map[string]*scitt.Statement{
				CheckIssuer:  by("stranger", scitt.SignOptions{}, "x"),
				CheckKey:     by("stranger", as("provider", "inventory/eu-1"), inventory),
				CheckSubject: by("provider", as("provider", "other"), inventory),
				CheckSize:    by("provider", as("provider", "inventory/eu-1"), `"`+strings.Repeat("x", 16384)+`"`),
			},
		},
		"provider-customer-auditor.json": {
			doc: `{"version": 1, "description": "A provider records, its customer acknowledges, and an auditor records what it saw, endorses and measures.",
				"trust_anchors": {` + key("provider", "customer", "auditor") + `}, "issuers": [
				{"issuer": "https://provider.example", "keys": ["provider"], "subjects": ["inventory/*", "configuration/*"]},
				{"issuer": "https://customer.example", "keys": ["customer"]},
				{"issuer": "https://auditor.example", "keys": ["auditor"]}], ` + admin + `, "signature": "low-s", "artifact": "optional", "chain": "optional",
				"rules": [
				{"id": "kind", "expr": "typ.startsWith('application/vnd.conmotion.') && typ.endsWith('+cose')", "message": "typ must say what kind of statement it is"},
				{"id": "provider-records", "expr": "iss != 'https://provider.example' || typ == 'application/vnd.conmotion.record+cose'", "message": "the provider registers records only"},
				{"id": "customer-acknowledges", "expr": "iss != 'https://customer.example' || typ == 'application/vnd.conmotion.acknowledgement+cose'", "message": "the customer registers acknowledgements only"},
				{"id": "measurements", "expr": "typ != 'application/vnd.conmotion.measurement+cose' || iss == 'https://auditor.example'", "message": "only the auditor measures"}]}`,
			admits: map[string]*scitt.Statement{
				"record":          by("provider", typed(as("provider", "inventory/eu-1"), scitt.TypeRecord), inventory),
				"acknowledgement": by("customer", typed(as("customer", "x"), scitt.TypeAcknowledgement), "{}"),
				"measurement":     by("auditor", typed(as("auditor", "x"), scitt.TypeMeasurement), measurement),
			},
			bans: map[string]*scitt.Statement{
				"kind provider-records":              by("provider", as("provider", "inventory/eu-1"), inventory),
				"customer-acknowledges":              by("customer", typed(as("customer", "x"), scitt.TypeRecord), "{}"),
				"customer-acknowledges measurements": by("customer", typed(as("customer", "x"), scitt.TypeMeasurement), measurement),
				CheckIssuer:                          by("stranger", scitt.SignOptions{}, "x"),
			},
		},
		"x509-corporate-roots.json": {
			doc: `{"version": 1, "description": "Whoever has a code signing certificate of Example Corporation may sign under the names in it.",
				"trust_anchors": {"x509_roots": [{"id": "corporate-root", "pem": ` + pemOf(corp.Root) + `}]}, ` + admin + `,
				"rules": [{"id": "code-signing", "expr": "'1.3.6.1.5.5.7.3.3' in cert.eku", "message": "the certificate must be one for code signing"},
				{"id": "organization", "expr": "'Example, Inc.' in cert.subject.O", "message": "the certificate must name Example, Inc."}]}`,
			admits: map[string]*scitt.Statement{"SAN": corporate("https://corp.example"), "did:x509": corporate(corp.DID("::subject:CN:signer"))},
			bans: map[string]*scitt.Statement{
				CheckKey: signBy(t, outside, "https://corp.example"),
			},
		},
		"ocsf-enforced.json": {
			doc: `{"version": 1, "description": "Records are valid OCSF 1.5.0 events of the classes that inventories, configurations and measurements use.",
				"trust_anchors": {` + key("provider", "auditor") + `}, "issuers": [{"issuer": "https://provider.example", "keys": ["provider"]}, {"issuer": "https://auditor.example", "keys": ["auditor"]}], ` + admin + `, "signature": "low-s",
				"artifact": "required", "ocsf": {"mode": "enforce", "versions": ["1.5.0"], "classes": [5001, 5023, 5019, 3004, 2003, 2004]},
				"rules": [{"id": "event-code", "expr": "envelope.present || !(payload.class_uid in [5001, 5019, 5023]) || payload.metadata.?event_code.orValue('').matches('^(inventory|configuration)[.](create|modify|delete)$')",
				"message": "metadata.event_code must say what happened, such as inventory.create"}]}`,
			admits: map[string]*scitt.Statement{
				"inventory":   by("provider", as("provider", "x"), inventory),
				"measurement": by("auditor", as("auditor", "x"), measurement),
				"stored":      by("provider", scitt.SignOptions{Issuer: "https://provider.example", Hash: true}, inventory),
			},
			bans: map[string]*scitt.Statement{
				CheckOCSF + " event-code":       by("provider", as("provider", "x"), "{}"),
				CheckOCSF:                       by("provider", as("provider", "x"), strings.Replace(inventory, `"activity_id": 1`, `"activity_id": 2`, 1)),
				"event-code":                    by("provider", as("provider", "x"), strings.Replace(inventory, "inventory.create", "created", 1)),
				CheckArtifact + " " + CheckOCSF: by("provider", scitt.SignOptions{Issuer: "https://provider.example", Hash: true}, "{}"),
			},
			facts: stored(inventory),
		},
		"chains-required.json": {
			doc: `{"version": 1, "description": "Each record continues a chain of its issuer, so that nothing can be left out unseen.",
				"trust_anchors": {` + key("provider") + `}, "issuers": [{"issuer": "https://provider.example", "keys": ["provider"], "subjects": ["inventory/*"]}], ` + admin + `, "signature": "low-s",
				"chain": "required", "rules": [{"id": "chain-name", "expr": "chain.name == 'inventory'", "message": "the provider has one chain, called inventory"}]}`,
			admits: map[string]*scitt.Statement{"next": chain(1, firstID[:])},
			bans: map[string]*scitt.Statement{
				CheckChain:                 first, // restarts
				CheckChain + " chain-name": by("provider", as("provider", "inventory/eu-1"), inventory),
			},
			facts: heads,
		},
	}
	return docs, keys
}

// TestExamples: the files are those that the generator makes, each loads
// without a warning that its author did not mean, and does what it says.
func TestExamples(t *testing.T) {
	docs, keys := examples(t)
	want := map[string][]byte{}
	for name, e := range docs {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(e.doc), "", "  "); err != nil {
			t.Fatal(err)
		}
		want[name] = append(b.Bytes(), '\n')
	}
	for name, data := range keys {
		want["keys/"+name] = data
	}
	if *update {
		for name, data := range want {
			path := filepath.Join(examplesDir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := fs.WalkDir(os.DirFS(examplesDir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(examplesDir, path))
		if err != nil {
			return err
		}
		if path != "README.md" && !bytes.Equal(data, want[path]) {
			t.Errorf("%s is not what the generator makes: go test ./policy -run Examples -update", path)
		}
		delete(want, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("%s is missing: go test ./policy -run Examples -update", name)
	}

	for name, e := range docs {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(examplesDir, name))
			if err != nil {
				t.Fatal(err)
			}
			p := parse(t, string(data))
			if e.facts == nil {
				e.facts = NoFacts{}
			}
			for what, s := range e.admits {
				if err := p.Admit(s, e.facts); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			for checks, s := range e.bans {
				refused(t, p.Admit(s, e.facts), strings.Fields(checks)...)
			}
			for _, w := range p.Warnings() {
				if name != "open.json" || !strings.HasPrefix(w, "issuers: ") {
					t.Errorf("lint: %v", w)
				}
			}
			// The administrator may replace it.
			id := scitt.EntryID(sha256.Sum256(data))
			doc, err := WithPrevious(data, id)
			if err != nil {
				t.Fatal(err)
			}
			s := sign(t, p256(t, "example administrator"), scitt.SignOptions{Type: scitt.TypePolicy}, string(doc))
			if _, err := p.AdmitPolicy(s, InForce{Entry: id}); err != nil {
				t.Error(err)
			}
		})
	}
}
