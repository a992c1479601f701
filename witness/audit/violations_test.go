package audit

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func hashChildren(l, r []byte) []byte { return rfc6962.DefaultHasher.HashChildren(l, r) }

func TestCleanLog(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{0, 1, 253, 254, 255, 600} {
		entries := append(w.begin(""), w.statements(n)...)
		a := w.audit(w.log(entries...), Options{})
		a.expect()
		s := a.Summary()
		if !s.Complete || s.Done != uint64(n+2) || s.Size != s.Done || len(s.Policies) != 1 || s.Policies[0].Bootstrap != BootstrapService {
			t.Errorf("%d statements: %+v", n, s)
		}
		// The service signs as its did:jwk here.
		if want := 1 + min(n, 1); s.Issuers != want {
			t.Errorf("%d issuers, want %d", s.Issuers, want)
		}
	}
}

func TestEmptyLog(t *testing.T) {
	w := newWorld(t)
	m := &memory{files: map[string][]byte{}}
	body := fmt.Sprintf("%s\n0\n%s\n", testlog.Origin, b64(rfc6962.DefaultHasher.EmptyRoot()))
	m.put(tiles.CheckpointPath, testlog.Must(note.Sign(&note.Note{Text: body}, w.keys.Note, w.keys.Tree))(t))
	a := w.audit(m, Options{})
	a.expect()
	if !a.Summary().Complete {
		t.Error("not complete")
	}
}

// chain is a good chain of n statements.
func (w *world) chain(n int) (entries [][]byte) {
	for i := range n {
		link := &scitt.ChainLink{Name: "c", Seq: uint64(i)}
		if i > 0 {
			id := testlog.ID(entries[i-1])
			link.Prev = id[:]
		}
		entries = append(entries, w.sign(w.alice, scitt.SignOptions{Chain: link}, fmt.Sprint(i)))
	}
	return entries
}

func (w *world) link(seq uint64, prev []byte) []byte {
	link := &scitt.ChainLink{Name: "c", Seq: seq}
	if prev != nil {
		id := testlog.ID(prev)
		link.Prev = id[:]
	}
	return w.sign(w.alice, scitt.SignOptions{Chain: link}, fmt.Sprintf("dishonest %d", seq))
}

// tamper changes the last byte: of the signature.
func tamper(entry []byte) []byte {
	out := slices.Clone(entry)
	out[len(out)-1] ^= 1
	return out
}

// certified gives the members of a policy with a root, and a signer for corp
// whose certificate below it expires.
func (w *world) certified() (members string, expires time.Time, sign func(iat time.Time) []byte) {
	w.t.Helper()
	expires = time.Unix(1_700_000_000, 0)
	root, leaf := testlog.Key(w.t, "ES256"), testlog.Key(w.t, "ES256")
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, NotBefore: expires.AddDate(-1, 0, 0), NotAfter: expires.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER := testlog.Must(x509.CreateCertificate(rand.Reader, ca, ca, root.Public(), root))(w.t)
	signer := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "signer"}, NotBefore: ca.NotBefore, NotAfter: expires,
		DNSNames: []string{"corp.example"}, KeyUsage: x509.KeyUsageDigitalSignature}
	der := testlog.Must(x509.CreateCertificate(rand.Reader, signer, ca, leaf.Public(), root))(w.t)
	encoded := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}))
	members = fmt.Sprintf(`, "trust_anchors": {"x509_roots": [{"id": "root", "pem": %q}]}`, encoded)
	return members, expires, func(iat time.Time) []byte {
		return w.sign(leaf, scitt.SignOptions{Issuer: corp, X5Chain: [][]byte{der}, IssuedAt: iat}, fmt.Sprint(iat.Unix()))
	}
}

// TestDishonestEntries puts one entry among good ones that no honest service
// would have admitted, and finds it and nothing else.
func TestDishonestEntries(t *testing.T) {
	w := newWorld(t)
	const rule = `, "rules": [{"id": "no-secrets", "expr": "!has(payload.secret)", "message": "no secrets"}]`
	good := w.statements(3)
	es384 := testlog.Key(t, "ES384")
	roots, expires, byCorp := w.certified()
	unprotected := func(e []byte) []byte {
		return scitt.AttachReceipts(testlog.Must(scitt.ParseStatement(e))(t), []byte("receipt"))
	}
	for name, tc := range map[string]struct {
		members string
		// bad gets the log's first policy statement and gives the entries behind
		// it; good ones follow.
		bad  func(policy []byte) [][]byte
		want []string
	}{
		"bad signature": {"", func([]byte) [][]byte { return [][]byte{tamper(good[0])} }, []string{"2 signature"}},
		"issuer not in the policy": {"", func([]byte) [][]byte {
			return [][]byte{w.sign(w.bob, scitt.SignOptions{}, "{}")}
		}, []string{"2 issuer"}},
		"issuer's name with a stranger's key": {"", func([]byte) [][]byte {
			return [][]byte{w.sign(w.bob, scitt.SignOptions{Issuer: w.did(w.alice)}, "{}")}
		}, []string{"2 key"}},
		"wrong subject": {"", func([]byte) [][]byte {
			return [][]byte{w.sign(w.alice, scitt.SignOptions{Subject: "other"}, "{}")}
		}, []string{"2 subject"}},
		"wrong content type": {"", func([]byte) [][]byte {
			return [][]byte{w.sign(w.alice, scitt.SignOptions{ContentType: "text/plain"}, "{}")}
		}, []string{"2 content_type"}},
		"certificate that was not valid at iat": {roots, func([]byte) [][]byte {
			return [][]byte{byCorp(expires.Add(-time.Second)), byCorp(expires.Add(time.Second))}
		}, []string{"3 key"}},
		"certificate without iat":   {roots, func([]byte) [][]byte { return [][]byte{byCorp(time.Time{})} }, []string{"2 key"}},
		"certificate below no root": {"", func([]byte) [][]byte { return [][]byte{byCorp(expires.Add(-time.Second))} }, []string{"2 key"}},
		"too large": {`, "limits": {"max_entry_bytes": 1000}`, func([]byte) [][]byte {
			return [][]byte{w.sign(w.alice, scitt.SignOptions{}, strings.Repeat("x", 1000))}
		}, []string{"2 size"}},
		"algorithm not allowed": {`, "limits": {"algorithms": ["ES256"]}`, func([]byte) [][]byte {
			// Alice's name with another key, so the key does not fit either.
			return [][]byte{w.sign(es384, scitt.SignOptions{Issuer: w.did(w.alice)}, "{}")}
		}, []string{"2 algorithm", "2 key"}},
		"rule failed": {rule, func([]byte) [][]byte {
			return [][]byte{w.sign(w.alice, scitt.SignOptions{}, `{"secret": 1}`)}
		}, []string{"2 no-secrets"}},
		"OCSF": {`, "ocsf": {"mode": "enforce"}`, func([]byte) [][]byte {
			return [][]byte{w.sign(w.alice, scitt.SignOptions{}, `{"class_uid": 5001}`)}
		}, []string{"2 ocsf"}},
		"reserved typ": {"", func([]byte) [][]byte {
			return [][]byte{w.sign(w.alice, scitt.SignOptions{Type: scitt.TypePolicy}, "{}")}
		}, []string{"2 subject", "2 issuer"}},
		"policy by a stranger": {"", func(p []byte) [][]byte {
			return [][]byte{w.signPolicy(w.bob, w.policy(p, ""))}
		}, []string{"2 issuer"}},
		"policy by a stranger in the administrator's name": {"", func(p []byte) [][]byte {
			return [][]byte{w.sign(w.bob, scitt.SignOptions{Issuer: w.did(w.admin), Type: scitt.TypePolicy, Subject: scitt.PolicySubject(testlog.Origin)}, w.policy(p, ""))}
		}, []string{"2 key"}},
		"replayed older policy, signed again": {"", func(p []byte) [][]byte {
			second := w.signPolicy(w.admin, w.policy(p, ""))
			return [][]byte{second, w.signPolicy(w.admin, w.policy(p, `, "description": "another"`)), w.signPolicy(w.admin, w.policy(p, ""))}
		}, []string{"3 previous", "4 log/duplicate"}},
		"replayed older policy, the same bytes": {"", func(p []byte) [][]byte {
			return [][]byte{w.signPolicy(w.admin, w.policy(p, "")), p}
		}, []string{"3 log/duplicate"}},
		"broken policy": {"", func(p []byte) [][]byte {
			return [][]byte{w.signPolicy(w.admin, w.policy(p, `, "unknown": 1`))}
		}, []string{"2 payload"}},
		"keys by a stranger": {"", func([]byte) [][]byte {
			return [][]byte{w.nextKeys(w.bob, w.begin("")[0], asIs)}
		}, []string{"2 log/keys"}},
		"keys in the service's name with a bad signature": {"", func([]byte) [][]byte {
			return [][]byte{tamper(w.nextKeys(w.keys.Service, w.begin("")[0], asIs))}
		}, []string{"2 log/keys"}},
		"chain gap": {`, "chain": "optional"`, func([]byte) [][]byte {
			c := w.chain(4)
			return [][]byte{c[0], w.link(2, c[0]), c[1], c[2], c[3]}
		}, []string{"3 chain"}},
		"chain that continues after a gap": {`, "chain": "optional"`, func([]byte) [][]byte {
			c := w.chain(1)
			gap := w.link(2, c[0])
			next := w.link(3, gap)
			return [][]byte{c[0], gap, next, w.link(4, next)}
		}, []string{"3 chain"}},
		"chain fork": {`, "chain": "optional"`, func([]byte) [][]byte {
			c := w.chain(4)
			return [][]byte{c[0], c[1], w.link(1, c[0]), c[2], c[3]}
		}, []string{"4 chain"}},
		"chain restart": {`, "chain": "optional"`, func([]byte) [][]byte {
			c := w.chain(4)
			return [][]byte{c[0], c[1], w.link(0, nil), c[2], c[3]}
		}, []string{"4 chain"}},
		"chain with a wrong prev": {`, "chain": "optional"`, func([]byte) [][]byte {
			c := w.chain(4)
			return [][]byte{c[0], c[1], w.link(2, c[0]), c[2], c[3]}
		}, []string{"4 chain"}},
		"chain missing": {`, "chain": "required"`, func([]byte) [][]byte {
			c := w.chain(4)
			return slices.Concat(c[:2], w.statements(1), c[2:])
		}, []string{"4 chain"}},
		"chain through a bad signature": {`, "chain": "optional"`, func([]byte) [][]byte {
			c := w.chain(4)
			return [][]byte{c[0], tamper(c[1]), c[1], c[2], c[3]}
		}, []string{"3 signature"}},
		"garbage before the entry": {"", func([]byte) [][]byte { return [][]byte{tamper(good[0]), good[0]} }, []string{"2 signature"}},
		"garbage behind it":        {"", func([]byte) [][]byte { return [][]byte{good[0], tamper(good[0])} }, []string{"3 signature"}},
		"garbage, the entry and its twin": {"", func([]byte) [][]byte {
			return [][]byte{tamper(good[0]), tamper(good[0]), good[0], testlog.Twin(t, good[0]), tamper(good[0])}
		}, []string{"2 signature", "3 signature", "5 log/duplicate", "6 signature"}},
		"twin first": {"", func([]byte) [][]byte { return [][]byte{testlog.Twin(t, good[0]), good[0], good[0]} },
			[]string{"3 log/duplicate", "4 log/duplicate"}},
		"twins in a chain": {`, "chain": "required"`, func([]byte) [][]byte {
			c := w.chain(4)
			return [][]byte{c[0], testlog.Twin(t, c[0]), c[1], testlog.Twin(t, c[0]), c[2], testlog.Twin(t, c[2]), c[3]}
		}, []string{"3 log/duplicate", "5 log/duplicate", "7 log/duplicate"}},
		"garbage of a policy": {"", func(p []byte) [][]byte {
			next := w.signPolicy(w.admin, w.policy(p, ""))
			return [][]byte{tamper(next), next, w.signPolicy(w.admin, w.policy(next, ""))}
		}, []string{"2 signature"}},
		"twin of a policy": {"", func(p []byte) [][]byte {
			next := w.signPolicy(w.admin, w.policy(p, ""))
			return [][]byte{next, testlog.Twin(t, next), testlog.Twin(t, p)}
		}, []string{"3 log/duplicate", "4 log/duplicate"}},
		"twin of keys": {"", func(p []byte) [][]byte {
			next := w.nextKeys(w.keys.Service, w.begin("")[0], asIs)
			return [][]byte{tamper(next), next, testlog.Twin(t, next)}
		}, []string{"2 log/keys", "4 log/duplicate"}},
		"copies of what nobody has a key for any more": {"", func(p []byte) [][]byte {
			other := *w
			other.alice = w.bob
			next := other.signPolicy(w.admin, other.policy(p, ""))
			return [][]byte{good[0], next, good[0], testlog.Twin(t, good[0]), w.signPolicy(w.admin, w.policy(next, ""))}
		}, []string{"4 log/duplicate", "5 issuer"}},
		"duplicate": {"", func([]byte) [][]byte { return [][]byte{good[1], good[0], good[1]} }, []string{"4 log/duplicate"}},
		"bytes that are not a statement": {"", func([]byte) [][]byte {
			return [][]byte{[]byte("not a statement")}
		}, []string{"2 log/statement"}},
		"an empty entry": {"", func([]byte) [][]byte { return [][]byte{{}} }, []string{"2 log/statement"}},
		"unprotected header": {"", func([]byte) [][]byte {
			return [][]byte{unprotected(good[0])}
		}, []string{"2 log/encoding"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			entries := w.begin(tc.members)
			entries = append(entries, tc.bad(entries[1])...)
			if !strings.Contains(tc.members, "chain") && !strings.Contains(tc.members, "ocsf") {
				entries = append(entries, w.statements(2)...)
			}
			a := w.audit(w.log(entries...), Options{})
			a.expect(tc.want...)
			for _, v := range a.told {
				id, ok := scitt.EntryIDOf(entries[*v.Index])
				if v.Message == "" || ok && v.EntryID != id.String() || !ok && v.EntryID != "" {
					t.Errorf("%+v", v)
				}
			}
			if !a.Summary().Complete {
				t.Error("not complete")
			}
		})
	}
}

// TestBeginnings: the first entries of a log.
func TestBeginnings(t *testing.T) {
	w := newWorld(t)
	good := w.statements(2)
	begin := w.begin("")
	other := *w.keys.Announced // with another receipt key than the one that is trusted
	other.Receipt = testlog.KeySet(t, w.bob)
	asPolicy := func(issuer string) scitt.SignOptions {
		return scitt.SignOptions{Issuer: issuer, Type: scitt.TypePolicy, Subject: scitt.PolicySubject(testlog.Origin)}
	}
	asService, byName, asAlice := asPolicy(testlog.Issuer), asPolicy("https://bob.example"), asPolicy(w.did(w.alice))
	for name, tc := range map[string]struct {
		entries [][]byte
		want    []string
	}{
		"first statement":                        {[][]byte{begin[0], w.signPolicy(w.bob, w.policy(nil, "")), good[0]}, nil},
		"keys, keys, first statement":            {[][]byte{begin[0], w.nextKeys(w.keys.Service, begin[0], asIs), w.signPolicy(w.alice, w.policy(nil, ""))}, nil},
		"no policy":                              {[][]byte{begin[0], good[0]}, []string{"1 log/policy"}},
		"statement before the policy":            {[][]byte{begin[0], good[0], begin[1], good[1]}, []string{"1 log/policy"}},
		"a stranger's policy behind a statement": {[][]byte{begin[0], good[0], w.signPolicy(w.bob, w.policy(nil, ""))}, []string{"1 log/policy", "2 log/policy"}},
		"entry 0 is not keys":                    {[][]byte{good[1], begin[1], good[0]}, []string{"0 log/keys"}},
		"keys signed by another key":             {[][]byte{w.keys.Announce(t, w.bob, w.keys.Announced), begin[1], good[0]}, []string{"0 log/keys"}},
		"keys that are not trusted":              {append(testlog.NewKeys(t).Begin(t, w.policy(nil, "")), good[0]), []string{"0 log/keys"}},
		"keys that no statement announces":       {[][]byte{w.keys.Announce(t, w.keys.Service, &other), begin[1], good[0]}, []string{"0 log/keys"}},
		"no keys to replace":                     {[][]byte{good[1], w.nextKeys(w.keys.Service, begin[0], asIs), begin[1]}, []string{"0 log/keys", "1 log/keys", "2 log/policy"}},
		// Whoever is first is held to no policy, and to their key all the same.
		"first policy unsigned":                    {[][]byte{begin[0], tamper(begin[1]), begin[1], good[0]}, []string{"1 signature"}},
		"first policy unsigned, and no other":      {[][]byte{begin[0], tamper(begin[1]), good[0]}, []string{"1 signature", "2 log/policy"}},
		"first policy as the service":              {[][]byte{begin[0], w.sign(w.bob, asService, w.policy(nil, "")), begin[1]}, []string{"1 key"}},
		"first statement unsigned":                 {[][]byte{begin[0], tamper(w.signPolicy(w.bob, w.policy(nil, ""))), begin[1]}, []string{"1 signature"}},
		"first statement of an unknown key":        {[][]byte{begin[0], w.sign(w.bob, byName, w.policy(nil, "")), good[0]}, nil},
		"first statement in the name of a did:jwk": {[][]byte{begin[0], w.sign(w.bob, asAlice, w.policy(nil, "")), begin[1]}, []string{"1 key"}},
		"keys, keys, first statement unsigned":     {[][]byte{begin[0], w.nextKeys(w.keys.Service, begin[0], asIs), tamper(w.signPolicy(w.bob, w.policy(nil, ""))), begin[1]}, []string{"2 signature"}},
		"changed by the service, which did not":    {[][]byte{begin[0], begin[1], tamper(w.sign(w.keys.Service, asService, w.policy(begin[1], "")))}, []string{"2 signature"}},
		"first policy broken":                      {[][]byte{begin[0], w.signPolicy(w.keys.Service, "{}"), begin[1], good[0]}, []string{"1 payload"}},
		"first policy of another subject": {[][]byte{begin[0], w.sign(w.keys.Service, scitt.SignOptions{Type: scitt.TypePolicy}, w.policy(nil, "")), begin[1], good[0]},
			[]string{"1 subject"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			a := w.audit(w.log(tc.entries...), Options{})
			a.expect(tc.want...)
			boot := BootstrapService
			if strings.Contains(name, "first statement") && len(tc.want) == 0 || name == "entry 0 is not keys" || name == "keys signed by another key" {
				boot = BootstrapStatement
			}
			if p := a.Summary().Policies; len(p) > 0 && p[0].Bootstrap != boot {
				t.Errorf("bootstrap %q, want %q", p[0].Bootstrap, boot)
			}
		})
	}
}

// TestFiles: the same good log with one file that is not right.
func TestFiles(t *testing.T) {
	w := newWorld(t)
	entries := append(w.begin(""), w.statements(700)...)
	flip := func(path string, at int) func(*memory) {
		return func(m *memory) {
			data := slices.Clone(m.files[path])
			data[at] ^= 1
			m.files[path] = data
		}
	}
	remove := func(path string) func(*memory) { return func(m *memory) { delete(m.files, path) } }
	resign := func(signers ...note.Signer) func(*memory) {
		return func(m *memory) {
			wr := &writer{t: t, put: m.put}
			wr.add(entries...)
			wr.publish(signers...)
		}
	}
	stranger := testlog.NewKeys(t)
	for name, tc := range map[string]struct {
		harm     func(*memory)
		want     []string
		complete bool // it goes on to the end
	}{
		"signed by another key":      {resign(stranger.Note, stranger.Tree), []string{CheckCheckpoint}, false},
		"root signed by another key": {resign(w.keys.Note, stranger.Tree), []string{CheckCheckpoint}, true},
		"checkpoint changed":         {flip("checkpoint", 22), []string{CheckCheckpoint}, false},
		"entry in a full bundle":     {flip("tile/entries/000", 50_000), []string{fmt.Sprint(place(entries, 50_000), " ", CheckBundle)}, true},
		"entry in the last bundle":   {flip("tile/entries/002.p/190", -1+len(w.log(entries...).files["tile/entries/002.p/190"])), []string{"701 " + CheckBundle}, true},
		"full tile":                  {flip("tile/0/001", 77), []string{CheckTile}, true},
		"partial tile":               {flip("tile/0/002.p/190", 77), []string{CheckTile}, true},
		"upper tile":                 {flip("tile/1/000.p/2", 40), []string{CheckTile}, true},
		"tile missing":               {remove("tile/0/000"), nil, false},
		"partial tile missing":       {remove("tile/0/002.p/190"), nil, false},
		"upper tile missing":         {remove("tile/1/000.p/2"), nil, false},
		"bundle missing":             {remove("tile/entries/001"), nil, false},
		"last bundle missing":        {remove("tile/entries/002.p/190"), nil, false},
		"bundle cut":                 {func(m *memory) { m.files["tile/entries/001"] = m.files["tile/entries/001"][:1000] }, []string{CheckBundle}, false},
		"entries that nobody committed to": {func(m *memory) {
			// Bundle and tile agree with each other and not with the root.
			o := w.log(append(slices.Clone(entries[:700]), w.statements(2)...)...)
			m.files["tile/entries/002.p/190"], m.files["tile/0/002.p/190"] = o.files["tile/entries/002.p/190"], o.files["tile/0/002.p/190"]
		}, []string{CheckRoot}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			m := w.log(entries...)
			good := maps.Clone(m.files)
			tc.harm(m)
			missing := len(m.files) < len(good)
			a := w.auditor(m, nil, Options{})
			for range 2 { // what is not there is looked for again
				if err := a.Run(t.Context()); errors.Is(err, fs.ErrNotExist) != missing || !missing && err != nil {
					t.Fatal(err)
				}
				if !missing {
					break
				}
			}
			a.expect(tc.want...)
			if got := a.Summary().Complete; got != tc.complete {
				t.Errorf("complete: %v", got)
			}
			if !missing {
				return
			}
			// When it is back the audit goes on, from its state too.
			state := a.states[len(a.states)-1]
			m.files = good
			for _, b := range []*audited{a, w.auditor(m, state, Options{})} {
				if err := b.Run(t.Context()); err != nil || !b.Summary().Complete {
					t.Errorf("%v, %+v", err, b.Summary())
				}
				b.expect()
			}
		})
	}
}

// place is the index of the entry at an offset of the first bundle.
func place(entries [][]byte, offset int) int {
	for i, e := range entries {
		if offset -= 2 + len(e); offset < 0 {
			return i
		}
	}
	return -1
}
