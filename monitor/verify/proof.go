package verify

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// IsProof reports whether a file is a C2SP tlog-proof.
func IsProof(data []byte) bool { return bytes.HasPrefix(data, []byte("c2sp.org/tlog-proof@")) }

// Proof verifies a C2SP tlog-proof of any log, offline, for Content.Data, which is what
// was logged; of a statement that is its entry. The log's key is among
// [party.Options.VKeys] or in the witness policy for it.
func (v *Verifier) Proof(data []byte) *Result {
	r, leaf := &Result{Checks: []witness.Finding{}}, v.Content.Data
	if st, err := scitt.DecodeStatement(leaf); err == nil {
		leaf = st.Entry()
		r.describe(st)
	}
	if err := v.proof(r, data, leaf); party.Refutes(err) {
		r.Verdict = err
	} else {
		r.Unsure = err
	}
	return r.conclude()
}

// proof makes the checks of C2SP tlog-proof, "Verifying a tlog proof".
func (v *Verifier) proof(r *Result, data, leaf []byte) error {
	var p proof.TLogProof
	// The library reads more than the one form that there is.
	err := p.Unmarshal(data)
	if err == nil && !bytes.Equal(p.Marshal(), data) {
		err = errors.New("it is not in the one form that it has")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", scitt.ErrMalformed, err)
	}
	cp, _, err := scitt.OpenNote(p.Checkpoint)
	if err != nil {
		return err
	}
	policy, err := v.Options.PolicyFor(cp.Origin)
	if err != nil {
		return err
	}
	switch vkey := scitt.NoteVKey(v.Options.VKeys); {
	case vkey != "":
		key, err := note.NewVerifier(vkey)
		if err != nil {
			return fmt.Errorf("--vkey: %w", err)
		}
		if cp, err = (scitt.CheckpointVerifiers{Note: key}).Open(p.Checkpoint); err != nil {
			return err
		}
	case policy == nil || len(policy.Logs) == 0:
		return fmt.Errorf("nothing says which key the log %.80q has; give it with --vkey, or in the witness policy", cp.Origin)
	}
	path := scitt.InclusionProof{Size: cp.Size, Index: p.Index}
	for _, h := range p.Hashes {
		path.Path = append(path.Path, h[:])
	}
	root, err := path.Root(scitt.LeafHash(leaf))
	if err == nil && !bytes.Equal(root, cp.Root) {
		err = fmt.Errorf("%w: the proof does not lead from %s to the root", scitt.ErrProof, v.Content.File)
	}
	if err != nil {
		r.found("proof", witness.Failed, "%v", err)
		return err
	}
	r.found("proof", witness.OK, "entry %d of %d of the log %s", p.Index, cp.Size, cp.Origin)
	if policy == nil {
		r.found("witnesses", witness.NotChecked, "no --witness-policy is for this log")
		return nil
	}
	c, err := policy.Open(p.Checkpoint)
	if err == nil {
		err = v.Options.HeldTo(c)
	}
	switch {
	case errors.Is(err, witness.ErrStale):
		r.found("witnesses", witness.NotChecked, "%v", err)
	case err != nil:
		r.found("witnesses", witness.Failed, "%v", err)
	default:
		r.found("witnesses", witness.OK, "%s; needed: %s", c, policy.Rule())
	}
	return err
}

// MarshalProof is the proof of an entry, with a checkpoint, as a C2SP tlog-proof.
func MarshalProof(p *scitt.InclusionProof, checkpoint []byte) []byte {
	out := proof.TLogProof{Index: p.Index, Checkpoint: checkpoint}
	for _, h := range p.Path {
		out.Hashes = append(out.Hashes, [32]byte(h))
	}
	return out.Marshal()
}
