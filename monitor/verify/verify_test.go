package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

func statement(t *testing.T, subject string) *scitt.Statement {
	t.Helper()
	return testlog.Must(scitt.ParseStatement(testlog.Statement(t, testlog.Key(t, "EdDSA"), subject, []byte(subject))))(t)
}

// receiptOf is a Receipt for entry 0 of a tree of two, by a key, as of a log.
func receiptOf(t *testing.T, k *testlog.Keys, origin string, st *scitt.Statement, other []byte) []byte {
	t.Helper()
	proof := &scitt.InclusionProof{Size: 2, Index: 0, Path: [][]byte{other}}
	root := testlog.Must(proof.Root(scitt.LeafHash(st.Entry())))(t)
	return testlog.Must(scitt.SignTree(k.Receipt, testlog.Issuer, origin, time.Unix(1e9, 0), root))(t).Receipt(proof)
}

func receipt(t *testing.T, k *testlog.Keys, st *scitt.Statement) []byte {
	t.Helper()
	return receiptOf(t, k, k.Note.Name(), st, make([]byte, 32))
}

// saved are the keys of a log in a file.
func saved(t *testing.T, name string, k *testlog.Keys) verify.Log {
	return verify.Log{Name: name, Keys: witness.Keys{Named: k.KeySet(t)}, Saved: true}
}

// opened is a log in a directory with all its entries.
func opened(t *testing.T, k *testlog.Keys, entries ...[]byte) verify.Log {
	t.Helper()
	var files testlog.Files
	files.Publish(t, k, entries)
	return open(t, &files, party.Options{VKeys: k.VKeys})
}

func open(t *testing.T, files *testlog.Files, o party.Options) verify.Log {
	t.Helper()
	dir := t.TempDir()
	files.WriteTo(t, dir)
	o.Examine = true
	log := testlog.Must(party.Open(t.Context(), dir, o))(t)
	return verify.Log{Name: "log", Files: log, Keys: witness.Keys{Named: testlog.Must(log.ReceiptKeys(t.Context()))(t)}}
}

// expected is what a case comes to.
type expected struct {
	verdict, unsure string   // a part of the error; "" for none
	checks          []string // "result check: detail" of findings, each a part of one
}

func (e expected) hold(t *testing.T, r *verify.Result) {
	t.Helper()
	for what, c := range map[string]struct {
		err  error
		want string
	}{"verdict": {r.Verdict, e.verdict}, "no verdict": {r.Unsure, e.unsure}} {
		if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, c.err, c.want)
		}
	}
	if good := e.verdict+e.unsure == ""; r.Verified != good || (r.Error == "") != good {
		t.Errorf("verified %t, error %q", r.Verified, r.Error)
	}
	for _, want := range e.checks {
		if !slices.ContainsFunc(r.Checks, func(c witness.Finding) bool {
			return strings.Contains(fmt.Sprintf("%s %s: %s", c.Result, c.Check, c.Detail), want)
		}) {
			t.Errorf("no %q in %v", want, r.Checks)
		}
	}
}

// TestOffline: without a log's files it is the Receipts that speak, by keys that are
// known. What saved keys cannot tell is no verdict, and what would tell is said.
func TestOffline(t *testing.T) {
	keys, other := testlog.NewKeys(t), testlog.NewKeysOf(t, "other.example")
	stolen := verify.Log{Name: "stolen", Saved: true, Keys: witness.Keys{Named: scitt.KeySet{{ID: keys.KeySet(t)[0].ID}}}}
	st := statement(t, "s")
	good := scitt.AttachReceipts(st, receipt(t, keys, st))
	wrong := scitt.AttachReceipts(st, receipt(t, keys, statement(t, "another")))
	forged := testlog.Must(scitt.DecodeStatement(testlog.Garbage(st.Entry())))(t)
	issuer := testlog.Key(t, "ES256")
	expired := testlog.Must(scitt.DecodeStatement(testpki.SignAgain(t, issuer, testlog.Statement(t, issuer, "s", nil), func(h cose.ProtectedHeader) {
		h[cose.HeaderLabelCWTClaims] = map[any]any{int64(1): testlog.DIDJWK(t, issuer), int64(2): "s", int64(4): 1_700_000_000, int64(6): 1_600_000_000}
	})))(t)
	const advice = "the keys of saved are those that the log had when it was saved; to know that the log holds the entry, get a fresh receipt"
	for name, c := range map[string]struct {
		log     *verify.Log // nil for none
		data    []byte
		content string
		want    expected
	}{
		"good":               {new(saved(t, "saved", keys)), good, "", expected{checks: []string{"ok signature: EdDSA, with the key in the issuer's did:jwk", "not checked payload: it is in the statement", "ok receipt 1: entry 0 of 2 of the log " + testlog.Origin, "not checked log now: whether the log holds the entry"}}},
		"its content":        {new(saved(t, "saved", keys)), good, "s", expected{checks: []string{"ok payload: file is the payload"}}},
		"other content":      {new(saved(t, "saved", keys)), good, "x", expected{verdict: "payload: file is not what the statement is about"}},
		"no keys":            {nil, good, "", expected{verdict: "receipt 1", checks: []string{"not checked receipt 1: no keys of a log are known; give --log, --static or --keys"}}},
		"keys of another":    {new(saved(t, "saved", other)), good, "", expected{unsure: advice}},
		"and not saved":      {&verify.Log{Keys: witness.Keys{Named: other.KeySet(t)}}, good, "", expected{verdict: "receipt 1"}},
		"a compromised key":  {&stolen, good, "", expected{unsure: "to know that the log holds the entry, get a fresh receipt", checks: []string{"not checked receipt 1: the key is compromised"}}},
		"another's receipt":  {new(saved(t, "saved", keys)), wrong, "", expected{verdict: "receipt 1", checks: []string{"failed receipt 1: "}}},
		"a wrong signature":  {new(saved(t, "saved", keys)), scitt.AttachReceipts(forged, receipt(t, keys, forged)), "", expected{verdict: "statement: the signature does not verify", checks: []string{"failed signature: ", "ok receipt 1: "}}},
		"no receipt":         {new(saved(t, "saved", keys)), st.Entry(), "", expected{verdict: "no receipt", checks: []string{"failed receipt: the statement carries none"}}},
		"expired":            {new(saved(t, "saved", keys)), scitt.AttachReceipts(expired, receipt(t, keys, expired)), "", expected{verdict: "statement", checks: []string{"failed time: "}}},
		"expired, by others": {new(saved(t, "saved", other)), scitt.AttachReceipts(expired, receipt(t, keys, expired)), "", expected{verdict: "statement"}},
		"no statement":       {new(saved(t, "saved", keys)), []byte("x"), "", expected{verdict: "malformed", checks: []string{"failed form: "}}},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verify.Verifier{Statements: scitt.Verifier{At: time.Unix(1_800_000_000, 0)}}
			if c.content != "" {
				v.Content = verify.Content{File: "file", Data: []byte(c.content)}
			}
			if c.log != nil {
				if err := v.Add(*c.log, nil); err != nil {
					t.Fatal(err)
				}
			}
			c.want.hold(t, verified(t, v, c.data))
		})
	}
}
