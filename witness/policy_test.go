package witness_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// renamed is the vkey of a witness with the same public key under another name.
func renamed(t *testing.T, key *scitt.Cosigner) string {
	t.Helper()
	_, encoded, _ := strings.Cut(strings.SplitN(key.String(), "+", 2)[1], "+")
	raw := testlog.Must(base64.StdEncoding.DecodeString(encoded))(t)
	id := sha256.Sum256(append([]byte("another.example\n"), raw...))
	return fmt.Sprintf("another.example+%x+%s", id[:4], encoded)
}

// TestParsePolicy holds each rule of the format.
func TestParsePolicy(t *testing.T) {
	log, w1, w2 := testlog.NewKeys(t), testlog.NewCosigner(t, "w1.example", "Ed25519"), testlog.NewCosigner(t, "w2.example", "ML-DSA-44")
	replace := strings.NewReplacer("LOG", log.VKeys[0], "TREE", log.VKeys[1], "K1", w1.String(), "K2", w2.String(), "SAME1", renamed(t, w1))
	const two = "witness a K1\nwitness b K2\n"
	for name, c := range map[string]struct{ text, rule, err string }{
		"one witness":               {"witness a K1\nquorum a\n", "a", ""},
		"none":                      {"quorum none\n", "no witness", ""},
		"none, with witnesses":      {two + "quorum none\n", "no witness", ""},
		"all":                       {two + "group g all a b\nquorum g\n", "2 of (a, b)", ""},
		"any":                       {two + "group g any a b\nquorum g\n", "1 of (a, b)", ""},
		"a number":                  {two + "group g 1 a b\nquorum g\n", "1 of (a, b)", ""},
		"groups of groups":          {two + "group g any a\ngroup h 2 g b\nquorum h\n", "2 of (1 of (a), b)", ""},
		"a group that is not used":  {two + "group g all a b\nquorum a\n", "a", ""},
		"urls":                      {"log LOG https://log.example/\nwitness a K1 https://w.example/\nquorum a\n", "a", ""},
		"a log with ML-DSA":         {"log K2\nwitness a K1\nquorum a\n", "a", ""},
		"white space and comments":  {" # quorum b\n\n\t \n \twitness  a\tK1 \n#\n  quorum a\t\n", "a", ""},
		"names that are not ASCII":  {"witness \xff\u212a K1\nquorum \xff\u212a\n", "\xff\u212a", ""},
		"quorum before an unused":   {"witness a K1\nquorum a\nwitness b K2\n", "a", ""},
		"nothing":                   {"", "", "there is no quorum line"},
		"no quorum":                 {two, "", "there is no quorum line"},
		"two quorums":               {two + "quorum a\nquorum a\n", "", "line 4: there is another quorum line"},
		"two quorums, one none":     {two + "quorum none\nquorum a\n", "", "another quorum line"},
		"quorum of two":             {two + "quorum a b\n", "", "it is not: quorum NAME"},
		"quorum below":              {"quorum a\nwitness a K1\n", "", "line 1: the quorum \"a\" is not defined above"},
		"quorum of a log":           {"log LOG\nquorum transparency.example\n", "", "not defined above"},
		"a group below":             {two + "group g any h\ngroup h any a\nquorum g\n", "", "\"h\" is not defined above"},
		"a group of itself":         {two + "group g any g\nquorum g\n", "", "\"g\" is not defined above"},
		"none in a group":           {two + "group g any a none\nquorum g\n", "", "\"none\" is not defined above"},
		"a witness named none":      {"witness none K1\nquorum none\n", "", "the name \"none\" is taken"},
		"a group named none":        {two + "group none any a\nquorum none\n", "", "the name \"none\" is taken"},
		"a name twice":              {"witness a K1\nwitness a K2\nquorum a\n", "", "the name \"a\" is taken"},
		"a group with its name":     {two + "group a any b\nquorum a\n", "", "the name \"a\" is taken"},
		"nobody needed":             {two + "group g 0 a b\nquorum g\n", "", "nor a number from 1 to 2"},
		"more than there are":       {two + "group g 3 a b\nquorum g\n", "", "nor a number from 1 to 2"},
		"a negative number":         {two + "group g -1 a b\nquorum g\n", "", "nor a number from 1 to 2"},
		"a leading zero":            {two + "group g 01 a b\nquorum g\n", "", "nor a number from 1 to 2"},
		"a plus":                    {two + "group g +1 a b\nquorum g\n", "", "nor a number from 1 to 2"},
		"a number past any":         {two + "group g 18446744073709551617 a b\nquorum g\n", "", "nor a number from 1 to 2"},
		"half":                      {two + "group g most a b\nquorum g\n", "", "neither all, any"},
		"a group of nobody":         {two + "group g all\nquorum g\n", "", "it is not: group"},
		"a member twice":            {two + "group g 2 a a\nquorum g\n", "", "\"a\" is a member of a group already"},
		"a member of two groups":    {two + "group g any a\ngroup h 2 g a\nquorum h\n", "", "\"a\" is a member of a group already"},
		"a key twice":               {"witness a K1\nwitness b K1\nquorum a\n", "", "line 2: its public key is there already"},
		"a key under another name":  {"witness a K1\nwitness b SAME1\nquorum a\n", "", "its public key is there already"},
		"a log twice":               {"log LOG\nlog LOG\nquorum none\n", "", "its public key is there already"},
		"a log that is its witness": {"log K1\nwitness a K1\nquorum a\n", "", "its public key is there already"},
		"a log with a tree key":     {"log TREE\nquorum none\n", "", "the key of a log is Ed25519 or ML-DSA-44"},
		"a witness with a log's":    {"witness a LOG\nquorum a\n", "", "has type 0x01"},
		"a wrong key id":            {"witness a " + strings.Replace(w1.String(), "+", "+0", 1) + "\nquorum a\n", "", "line 1:"},
		"no key":                    {"witness a\nquorum a\n", "", "it is not: witness NAME VKEY"},
		"too much":                  {"witness a K1 https://w.example/ more\nquorum a\n", "", "it is not: witness NAME VKEY"},
		"a carriage return":         {"witness a K1\r\nquorum a\r\n", "", "line 1: control characters"},
		"a delete":                  {"# \x7f\nquorum none\n", "", "control characters"},
		"a comment behind":          {"witness a K1\nquorum a # all of them\n", "", "it is not: quorum NAME"},
		"another space":             {"witness\u00a0a K1\nquorum a\n", "", "is not log, witness, group or quorum"},
		"another word":              {"Quorum none\n", "", "\"Quorum\" is not log"},
		"no newline at the end":     {"witness a K1\nquorum a", "", "line 2: it does not end with a newline"},
	} {
		t.Run(name, func(t *testing.T) {
			text := replace.Replace(c.text)
			p, err := witness.ParsePolicy([]byte(text))
			if c.err != "" {
				if !errors.Is(err, witness.ErrPolicy) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Rule() != c.rule || p.String() != text {
				t.Errorf("rule %q", p.Rule())
			}
		})
	}
}

// policyOf makes a policy with witnesses w0, w1 and so on.
func policyOf(t testing.TB, end string, keys ...*scitt.Cosigner) *witness.Policy {
	t.Helper()
	var b strings.Builder
	for i, k := range keys {
		fmt.Fprintf(&b, "witness w%d %s\n", i, k)
	}
	return testlog.Must(witness.ParsePolicy([]byte(b.String() + end)))(t)
}

// TestCosigned: what counts are the policy's witnesses, each once, with lines that
// verify for this checkpoint.
func TestCosigned(t *testing.T) {
	log, root := testlog.NewKeys(t), make([]byte, 32)
	w := []*scitt.Cosigner{testlog.NewCosigner(t, "w0.example", "Ed25519"), testlog.NewCosigner(t, "w1.example", "ML-DSA-44"), testlog.NewCosigner(t, "w2.example", "Ed25519")}
	stranger := testlog.NewCosigner(t, "stranger.example", "Ed25519")
	now := time.Unix(1800000000, 0)
	by := func(raw []byte, at time.Time, keys ...*scitt.Cosigner) []byte {
		for _, k := range keys {
			raw = testlog.Cosign(t, raw, k, at)
		}
		return raw
	}
	plain := log.Checkpoint(t, 5, root)
	const two = "group g 2 w0 w1 w2\nquorum g\n"
	line := func(raw []byte) []byte { return raw[bytes.LastIndex(raw, []byte("— ")):] }
	for name, c := range map[string]struct {
		raw    []byte
		policy string
		by     string
		open   string // error of Open
		quorum bool
	}{
		"two of three":            {by(plain, now, w[0], w[1]), two, "w0 w1", "", true},
		"in another order":        {by(plain, now, w[2], w[1]), two, "w1 w2", "", true},
		"all three":               {by(plain, now, w...), two, "w0 w1 w2", "", true},
		"one of three":            {by(plain, now, w[2]), two, "w2", "", false},
		"none of three":           {plain, two, "", "", false},
		"one, twice":              {by(plain, now, w[0], w[0]), two, "w0", "", false},
		"one, at two times":       {by(by(plain, now, w[0]), now.Add(time.Hour), w[0]), two, "w0", "", false},
		"a stranger beside one":   {by(plain, now, w[0], stranger), two, "w0", "", false},
		"no witness is needed":    {plain, "quorum none\n", "", "", true},
		"groups, met":             {by(plain, now, w[0], w[2]), "group g any w0 w1\ngroup h all g w2\nquorum h\n", "w0 w2", "", true},
		"groups, one side":        {by(plain, now, w[0], w[1]), "group g any w0 w1\ngroup h all g w2\nquorum h\n", "w0 w1", "", false},
		"a line of another tree":  {append(bytes.Clone(plain), line(by(log.Checkpoint(t, 6, root), now, w[0]))...), two, "", "invalid signature", false},
		"a line that is changed":  {bytes.Replace(by(plain, now, w[0]), []byte("\n5\n"), []byte("\n7\n"), 1), two, "", "invalid signature", false},
		"by the log in policy":    {by(plain, now, w[0]), "log " + log.VKeys[0] + "\nquorum w0\n", "w0", "", true},
		"by one of two logs":      {by(plain, now, w[0]), "log " + testlog.NewKeys(t).VKeys[0] + "\nlog " + log.VKeys[0] + "\nquorum w0\n", "w0", "", true},
		"by no log of the policy": {by(plain, now, w[0]), "log " + testlog.NewKeysOf(t, "other").VKeys[0] + "\nquorum w0\n", "", "no log of the witness policy", false},
		"by its key of that name": {by(plain, now, w[0]), "log " + testlog.NewKeys(t).VKeys[0] + "\nquorum w0\n", "", "no log of the witness policy", false},
		"not a note":              {[]byte("5\n"), two, "", "malformed note", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, c.policy, w...)
			got, err := p.Open(c.raw)
			if c.open != "" {
				if !errors.Is(err, scitt.ErrCheckpoint) || !strings.Contains(err.Error(), c.open) {
					t.Fatalf("error %v, want %q", err, c.open)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, s := range got.By {
				names = append(names, s.Witness)
			}
			if err := got.Quorum(); strings.Join(names, " ") != c.by || (err == nil) != c.quorum || err != nil && !errors.Is(err, witness.ErrQuorum) {
				t.Errorf("by %q, quorum: %v", names, err)
			}
		})
	}
	// A log of the policy signs under the origin of another: its key speaks for its own name.
	other := testlog.NewKeysOf(t, "other.example")
	forged := testlog.Must(witness.ParsePolicy([]byte("log " + other.VKeys[0] + "\nlog " + log.VKeys[0] + "\nquorum none\n")))(t)
	body, _, _ := strings.Cut(string(plain), "\n\n")
	if _, err := forged.Open(testlog.Must(note.Sign(&note.Note{Text: body + "\n"}, other.Note))(t)); !errors.Is(err, scitt.ErrCheckpoint) {
		t.Errorf("a log's checkpoint under the origin of another: %v", err)
	}
}

// TestFresh: a quorum counts from the time on at which enough of its witnesses signed.
func TestFresh(t *testing.T) {
	a, b := testlog.NewCosigner(t, "a.example", "Ed25519"), testlog.NewCosigner(t, "b.example", "ML-DSA-44")
	old, now := time.Unix(1800000000, 0), time.Unix(1800003600, 0)
	raw := testlog.Cosign(t, testlog.Cosign(t, testlog.NewKeys(t).Checkpoint(t, 5, make([]byte, 32)), a, old), b, now)
	all, one := "group g all w0 w1\nquorum g\n", "group g any w0 w1\nquorum g\n"
	for _, c := range []struct {
		policy string
		since  time.Time
		want   error
	}{
		{all, old, nil}, {all, old.Add(time.Second), witness.ErrStale}, {one, now, nil}, {one, now.Add(time.Second), witness.ErrStale},
		{"witness c " + testlog.NewCosigner(t, "c.example", "Ed25519").String() + "\ngroup g all w0 w1 c\nquorum g\n", old, witness.ErrQuorum},
	} {
		cosigned := testlog.Must(policyOf(t, c.policy, a, b).Open(raw))(t)
		if err := cosigned.Fresh(c.since); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s since %v: %v", c.policy, c.since, err)
		}
	}
	if got := testlog.Must(policyOf(t, all, a, b).Open(raw))(t).String(); got != "w0 at 2027-01-15T08:00:00Z, w1 at 2027-01-15T09:00:00Z" {
		t.Error(got)
	}
}

// TestOpenReceipt: the checkpoint that a Receipt carries counts for the tree of
// the Receipt and for no other.
func TestOpenReceipt(t *testing.T) {
	st, keys, w := statement(t, "s"), testlog.NewKeys(t), testlog.NewCosigner(t, "w.example", "Ed25519")
	proof := &scitt.InclusionProof{Size: 2, Path: [][]byte{make([]byte, 32)}}
	root := testlog.Must(proof.Root(scitt.LeafHash(st.Entry())))(t)
	raw := testlog.Cosign(t, keys.Checkpoint(t, 2, root), w, time.Unix(1800000000, 0))
	make := func(raw []byte, proof *scitt.InclusionProof) *scitt.Receipt {
		cp := testlog.Must(keys.Verifiers.Open(raw))(t)
		return testlog.Must(scitt.ParseReceipt(testlog.Must(cp.Receipt(proof))(t)))(t)
	}
	p := policyOf(t, "quorum w0\n", w)
	good := make(raw, proof)
	c, err := p.VerifyReceipt(good, keys.Receipt.Public(), st.Entry())
	if err != nil || c.Quorum() != nil {
		t.Fatalf("%v, %v", c, err)
	}
	if c, err := p.OpenReceipt(good, st.Entry()); err != nil || c.Quorum() != nil {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := policyOf(t, "log "+keys.VKeys[0]+"\nquorum w0\n", w).OpenReceipt(good, st.Entry()); err != nil {
		t.Errorf("with the log in the policy: %v", err)
	}
	bare := make(keys.Checkpoint(t, 2, root), proof)
	bigger := make(testlog.Cosign(t, keys.Checkpoint(t, 3, root), w, time.Unix(1800000000, 0)), proof)
	for name, r := range map[string]*scitt.Receipt{"no checkpoint": bare, "another size": bigger} {
		if _, err := p.OpenReceipt(r, st.Entry()); !errors.Is(err, witness.ErrQuorum) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.VerifyReceipt(r, keys.Receipt.Public(), st.Entry()); !errors.Is(err, witness.ErrQuorum) {
			t.Errorf("%s, verified: %v", name, err)
		}
	}
	for name, r := range map[string]*scitt.Receipt{"with the quorum": good, "without": bare} {
		if _, err := p.VerifyReceipt(r, testlog.Key(t, "ES256").Public(), st.Entry()); !errors.Is(err, scitt.ErrSignature) {
			t.Errorf("%s, of another ES256 key: %v", name, err)
		}
	}
	if _, err := p.OpenReceipt(good, statement(t, "another").Entry()); !errors.Is(err, witness.ErrQuorum) {
		t.Errorf("another entry: %v", err)
	}
}

// FuzzParsePolicy: what is read is met by all of its witnesses, and by none only
// when it says so.
func FuzzParsePolicy(f *testing.F) {
	a, b := testlog.NewCosigner(f, "a.example", "Ed25519"), testlog.NewCosigner(f, "b.example", "Ed25519")
	raw := testlog.NewKeys(f).Checkpoint(f, 5, make([]byte, 32))
	all := testlog.Cosign(f, testlog.Cosign(f, raw, a, time.Unix(1, 0)), b, time.Unix(1, 0))
	replace := strings.NewReplacer("A", a.String(), "B", b.String())
	for _, seed := range []string{"quorum none\n", "witness a A\nquorum a\n", "witness a A\nwitness b B u\ngroup g all a b\ngroup h 1 g\nquorum h\n", "log A\nquorum none\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := witness.ParsePolicy([]byte(replace.Replace(text)))
		if err != nil {
			if !errors.Is(err, witness.ErrPolicy) {
				t.Fatal(err)
			}
			return
		}
		if len(p.Logs) > 0 {
			return
		}
		bare, err := p.Open(raw)
		if err != nil || (bare.Quorum() == nil) != (p.Rule() == "no witness") {
			t.Fatalf("%q is met by nobody: %v", text, err)
		}
		if c, err := p.Open(all); err != nil || c.Quorum() != nil {
			t.Fatalf("%q is not met by all: %v", text, err)
		}
	})
}

// BenchmarkReceipt verifies a Receipt with a quorum of three Ed25519 witnesses: parsing,
// the proof, its own signature, and the cosigned checkpoint with three cosignatures. Beside
// it is what a policy adds that names the log, whose signature on the checkpoint counts
// then too, and what the statement adds, whose signature is not one of the Receipt's. Each
// is told in ratio to its bare signatures.
func BenchmarkReceipt(b *testing.B) {
	issuer := testlog.Key(b, "ES256")
	st := testlog.Must(scitt.ParseStatement(testlog.Statement(b, issuer, "s", nil)))(b)
	keys := testlog.NewKeys(b)
	proof := &scitt.InclusionProof{Size: 1 << 20, Index: 12345}
	for i := range 20 {
		proof.Path = append(proof.Path, bytes.Repeat([]byte{byte(i)}, 32))
	}
	raw := keys.Checkpoint(b, proof.Size, testlog.Must(proof.Root(scitt.LeafHash(st.Entry())))(b))
	var w []*scitt.Cosigner
	for i := range 3 {
		w = append(w, testlog.NewCosigner(b, fmt.Sprintf("w%d.example", i), "Ed25519"))
		raw = testlog.Cosign(b, raw, w[i], time.Unix(1800000000, 0))
	}
	data := testlog.Must(testlog.Must(keys.Verifiers.Open(raw))(b).Receipt(proof))(b)
	const quorum = "group g all w0 w1 w2\nquorum g\n"
	// What the signatures cost alone, each over as many bytes as it is over here.
	es256 := testlog.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(b)
	digest := sha256.Sum256(data)
	signature := testlog.Must(ecdsa.SignASN1(rand.Reader, es256, digest[:]))(b)
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	cosignature := ed25519.Sign(priv, raw[:100])
	for _, of := range []struct {
		name           string
		policy         *witness.Policy
		statement      bool
		es256, ed25519 int
	}{
		{"receipt", policyOf(b, quorum, w...), false, 1, 3},
		{"and-the-log's-line", policyOf(b, "log "+keys.VKeys[0]+"\n"+quorum, w...), false, 1, 4},
		{"and-the-statement", policyOf(b, "log "+keys.VKeys[0]+"\n"+quorum, w...), true, 2, 4},
	} {
		b.Run(of.name, func(b *testing.B) {
			var bare time.Duration
			n := 0
			for b.Loop() {
				if n++; n%100 == 0 { // now and then, so that both have the same minutes of a busy machine
					b.StopTimer()
					start := time.Now()
					for range 100 {
						for range of.es256 {
							if !ecdsa.VerifyASN1(&es256.PublicKey, digest[:], signature) {
								b.Fatal("ES256")
							}
						}
						for range of.ed25519 {
							if !ed25519.Verify(pub, raw[:100], cosignature) {
								b.Fatal("Ed25519")
							}
						}
					}
					bare += time.Since(start)
					b.StartTimer()
				}
				if of.statement {
					if err := st.VerifySignature(issuer.Public()); err != nil {
						b.Fatal(err)
					}
				}
				r, err := scitt.ParseReceipt(data)
				var c *witness.Cosigned
				if err == nil {
					c, err = of.policy.VerifyReceipt(r, keys.Receipt.Public(), st.Entry())
				}
				if err != nil || c.Quorum() != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/(float64(bare)/float64(n/100*100)), "of-signatures")
			b.ReportMetric(float64(len(data)), "bytes/receipt")
		})
	}
}
