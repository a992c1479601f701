package verify_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// TestProof: a tlog-proof shows what was logged, by a key of the log that the Relying
// Party knows, and under the witnesses that it demands.
func TestProof(t *testing.T) {
	keys, other, w := testlog.NewKeys(t), testlog.NewKeys(t), testlog.NewCosigner(t, "w.example", "Ed25519")
	st := statement(t, "s")
	view := opened(t, keys, append(keys.Begin(t, "{}"), st.Entry())...).Files.View
	at := testlog.Must(view.Inclusion(t.Context(), 2, scitt.LeafHash(st.Entry())))(t)
	now := time.Unix(1_800_000_000, 0)
	bare := verify.MarshalProof(at, view.Checkpoint.Raw)
	cosigned := verify.MarshalProof(at, testlog.Cosign(t, view.Checkpoint.Raw, w, now.Add(-time.Hour)))
	policy := testlog.Must(witness.ParsePolicy(fmt.Appendf(nil, "log %s\nwitness w %s\nquorum w\n", scitt.NoteVKey(keys.VKeys), w)))(t)
	if !verify.IsProof(bare) || verify.IsProof(st.Entry()) {
		t.Error("what a proof is")
	}
	for name, c := range map[string]struct {
		proof  []byte
		leaf   []byte
		vkeys  []string
		policy *witness.Policy
		maxAge time.Duration
		want   expected
	}{
		"a statement":        {bare, st.Entry(), keys.VKeys, nil, 0, expected{checks: []string{"ok proof: entry 2 of 3 of the log", "not checked witnesses: no --witness-policy"}}},
		"with its receipts":  {bare, scitt.AttachReceipts(st, receipt(t, keys, st)), keys.VKeys, nil, 0, expected{}},
		"something else":     {bare, []byte("x"), keys.VKeys, nil, 0, expected{verdict: "the proof does not lead from file to the root", checks: []string{"failed proof: "}}},
		"another key":        {bare, st.Entry(), other.VKeys, nil, 0, expected{verdict: "checkpoint"}},
		"no key":             {bare, st.Entry(), nil, nil, 0, expected{unsure: "nothing says which key the log"}},
		"a key that is none": {bare, st.Entry(), []string{"x"}, nil, 0, expected{unsure: "--vkey: malformed verifier id"}},
		"witnesses":          {cosigned, st.Entry(), nil, policy, 0, expected{checks: []string{"ok witnesses: w at "}}},
		"no witness":         {bare, st.Entry(), nil, policy, 0, expected{verdict: "the quorum of witnesses is missing", checks: []string{"ok proof: ", "failed witnesses: "}}},
		"too long ago":       {cosigned, st.Entry(), nil, policy, time.Minute, expected{unsure: "too old", checks: []string{"not checked witnesses: "}}},
		"another form":       {append(bytes.Clone(bare), '\n'), st.Entry(), keys.VKeys, nil, 0, expected{verdict: "malformed"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := party.Options{VKeys: c.vkeys, MaxAge: c.maxAge, Now: func() time.Time { return now }}
			if c.policy != nil {
				o.Witnesses = []*witness.Policy{c.policy}
			}
			v := &verify.Verifier{Options: o, Content: verify.Content{File: "file", Data: c.leaf}}
			c.want.hold(t, v.Proof(c.proof))
		})
	}
}

// FuzzProof: no bytes are a proof for somebody who knows no key of the log.
func FuzzProof(f *testing.F) {
	keys, leaf := testlog.NewKeys(f), []byte("leaf")
	root := (scitt.TreeHasher{Hasher: rfc6962.DefaultHasher}).HashChildren(scitt.LeafHash(leaf), scitt.LeafHash(leaf))
	good := verify.MarshalProof(&scitt.InclusionProof{Size: 2, Index: 1, Path: [][]byte{scitt.LeafHash(leaf)}}, keys.Checkpoint(f, 2, root))
	content := verify.Content{File: "file", Data: leaf}
	if r := (&verify.Verifier{Options: party.Options{VKeys: keys.VKeys}, Content: content}).Proof(good); !r.Verified {
		f.Fatalf("%+v", r)
	}
	f.Add(good)
	f.Add([]byte("c2sp.org/tlog-proof@v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r := (&verify.Verifier{Content: content}).Proof(data); r.Verified || r.Verdict == nil && r.Unsure == nil {
			t.Errorf("%+v", r)
		}
	})
}
