package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// The readers that demand a quorum of witnesses of the provider's log.
const (
	verifyWitnessed = "verify --keys {provider.keys} --witness-policy {witness-policy} --max-age 24h {cosigned-transparent}"
	verifyNow       = "verify --static {cosigned} --witness-policy {witness-policy} --max-age 24h {cosigned-transparent}"
	auditWitnessed  = "audit --artifacts {cosigned} --witness-policy {witness-policy} {cosigned}"
	fsckWitnessed   = "fsck --witness-policy {witness-policy} {cosigned}"
	replayWitnessed = "replay --log {cosigned} --witness-policy {witness-policy}"
	exportWitnessed = "export --log {cosigned} --witness-policy {witness-policy} --out {export}-cosigned"
	verifyProof     = "verify --witness-policy {witness-policy} {provider-vkeys} --payload {statement} {tlog-proof}"
	monitorQuorum   = "monitor --config {tmp}/witnessed.yaml --once"
	// What was demanded once is demanded from then on.
	replayRemembered = replayWitnessed + " && replay --log {cosigned-later}"
)

// witnessed is the configuration of a monitor that demands a quorum of witnesses.
const witnessed = `state: {tmp}/witnessed
logs:
  - name: provider
    location: {cosigned}
    witness_policy: {witness-policy}
    witness_max_age: 24h
`

// witnessed shows the provider's log with these lines on its checkpoint.
func (w *world) witnessed(t *testing.T, add func(raw []byte) []byte) shown {
	t.Helper()
	p := w.provider
	raw := add(p.keys.Checkpoint(t, uint64(len(p.entries)), p.root()))
	view := testlog.Must(tiles.NewTree(p.files(t)).At(t.Context(), testlog.Must(p.keys.Verifiers.Open(raw))(t)))(t)
	receipt := testlog.Must(view.Receipt(t.Context(), webEntry, scitt.LeafHash(p.entries[webEntry])))(t)
	st := testlog.Must(scitt.DecodeStatement(p.entries[webEntry]))(t)
	inclusion := testlog.Must(view.Inclusion(t.Context(), webEntry, scitt.LeafHash(p.entries[webEntry])))(t)
	dir := p.dir(t, func(f *testlog.Files) { f.Put(tiles.CheckpointPath, raw) })
	return shown{"cosigned": dir, "cosigned-later": dir, "cosigned-transparent": write(t, "cosigned", scitt.AttachReceipts(st, receipt)),
		"tlog-proof": write(t, "tlog-proof", verify.MarshalProof(inclusion, raw))}
}

// by adds the cosignatures of witnesses at a time.
func by(t *testing.T, at time.Time, keys ...*scitt.Cosigner) func(raw []byte) []byte {
	return func(raw []byte) []byte {
		for _, k := range keys {
			raw = testlog.Cosign(t, raw, k, at)
		}
		return raw
	}
}

// showWitnessed adds what is true of the witnesses: two of three cosigned.
func (w *world) showWitnessed(t *testing.T) {
	var policy strings.Builder
	for i, algorithm := range []string{"Ed25519", "ML-DSA-44", "Ed25519"} {
		w.witnesses = append(w.witnesses, testlog.NewCosigner(t, fmt.Sprintf("w%d.example", i), algorithm))
		fmt.Fprintf(&policy, "witness w%d %s\n", i, w.witnesses[i])
	}
	w.write(t, "witness-policy", []byte(policy.String()+"group g 2 w0 w1 w2\nquorum g\n"))
	for name, value := range w.witnessed(t, by(t, time.Now(), w.witnesses...)) {
		w.show(name, value)
	}
}

func witnessLies() []lie {
	cosigned := func(add func(t *testing.T, w *world) func([]byte) []byte) func(t *testing.T, w *world) shown {
		return func(t *testing.T, w *world) shown { return w.witnessed(t, add(t, w)) }
	}
	all := []string{verifyWitnessed, verifyNow, auditWitnessed, fsckWitnessed, replayWitnessed, exportWitnessed, verifyProof}
	return []lie{
		{"a checkpoint without cosignatures", cosigned(func(t *testing.T, _ *world) func([]byte) []byte { return by(t, time.Now()) }),
			append(looks(cli.ExitBad, `the quorum of witnesses is missing`, all...), look{monitorQuorum, cli.ExitBad, `CRITICAL +provider +quorum`})},
		{"one of two", cosigned(func(t *testing.T, w *world) func([]byte) []byte { return by(t, time.Now(), w.witnesses[0]) }),
			looks(cli.ExitBad, `the quorum of witnesses is missing: it is cosigned by w0 at `, all...)},
		{"one of two, twice", cosigned(func(t *testing.T, w *world) func([]byte) []byte {
			return func(raw []byte) []byte {
				return by(t, time.Now(), w.witnesses[0])(by(t, time.Now().Add(-time.Hour), w.witnesses[0])(raw))
			}
		}), looks(cli.ExitBad, `the quorum of witnesses is missing: it is cosigned by w0 at `, all...)},
		{"witnesses that nobody named", cosigned(func(t *testing.T, _ *world) func([]byte) []byte {
			return by(t, time.Now(), testlog.NewCosigner(t, "w0.example", "Ed25519"), testlog.NewCosigner(t, "w1.example", "ML-DSA-44"))
		}), looks(cli.ExitBad, `it is cosigned by no witness of the policy`, all...)},
		{"a cosignature of another tree", cosigned(func(t *testing.T, w *world) func([]byte) []byte {
			return func(raw []byte) []byte {
				other := by(t, time.Now(), w.witnesses[0])(w.provider.keys.Checkpoint(t, 3, make([]byte, 32)))
				return append(by(t, time.Now(), w.witnesses[1])(raw), other[bytes.LastIndex(other, []byte("— ")):]...)
			}
		}), looks(cli.ExitBad, `invalid signature for key w0\.example`, all...)},
		{"the quorum of an older tree, in the receipt", func(t *testing.T, w *world) shown {
			older := *w.provider
			older.entries = older.entries[:len(older.entries)-1]
			old := (&world{provider: &older}).witnessed(t, by(t, time.Now(), w.witnesses[:2]...))
			parts := func(of shown) *scitt.Receipt {
				st := testlog.Must(scitt.DecodeStatement(read(t, of["cosigned-transparent"])))(t)
				return testlog.Must(scitt.ParseReceipt(st.Receipts[0]))(t)
			}
			now := w.witnessed(t, by(t, time.Now(), w.witnesses[:2]...))
			swapped := bytes.Replace(read(t, now["cosigned-transparent"]), parts(now).Checkpoint, parts(old).Checkpoint, 1)
			return shown{"cosigned-transparent": write(t, "swapped", swapped)}
		}, looks(cli.ExitBad, `the checkpoint in the receipt is of another tree`, verifyWitnessed)},
		{"a quorum of long ago", cosigned(func(t *testing.T, w *world) func([]byte) []byte {
			return by(t, time.Now().AddDate(0, 0, -3), w.witnesses...)
		}), append(looks(cli.ExitUsage, `the cosignatures are too old`, verifyWitnessed, verifyNow), look{monitorQuorum, cli.ExitBad, `MEDIUM +provider +cosignatures`})},
		{"a witness that is silent, beside a quorum", cosigned(func(t *testing.T, w *world) func([]byte) []byte { return by(t, time.Now(), w.witnesses[1:]...) }),
			looks(cli.ExitBad, `MEDIUM +provider +witness: the witness w0 did not cosign`, monitorQuorum)},
		{"a tlog-proof of another entry", func(t *testing.T, w *world) shown {
			data := read(t, w.truth["tlog-proof"])
			return shown{"tlog-proof": write(t, "tlog-proof", bytes.Replace(data, fmt.Appendf(nil, "\nindex %d\n", webEntry), []byte("\nindex 3\n"), 1))}
		}, looks(cli.ExitBad, `the proof does not lead from`, verifyProof)},
		{"a log that has no quorum any more", func(t *testing.T, w *world) shown {
			return shown{"cosigned-later": w.witnessed(t, by(t, time.Now()))["cosigned"]}
		}, looks(cli.ExitBad, `the quorum of witnesses is missing`, replayRemembered)},
	}
}
