package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

const proofHelp = `
A C2SP tlog-proof of any log is verified with --payload, which is what was logged (of
a statement that is its entry), and with the log's key: a log line of
--witness-policy, or --vkey. It needs no network.
`

// isProof reports whether a file is a C2SP tlog-proof.
func isProof(data []byte) bool { return bytes.HasPrefix(data, []byte("c2sp.org/tlog-proof@")) }

// verifyProof verifies a C2SP tlog-proof of any log, offline.
func (a *app) verifyProof(f verifyFlags, path string, data []byte) error {
	if f.payload == "" || f.log+f.static+f.keys != "" || f.quorum > 0 {
		return cli.Usage(errors.New("a tlog-proof is verified with --payload, and the log's key in --witness-policy or --vkey"))
	}
	v := &verification{app: a, verifyFlags: f, report: verifyReport{Checks: []witness.Finding{}}}
	var err error
	if v.open, err = a.LogOptions(f.MemoryFlags); err != nil {
		return err
	}
	leaf, err := cli.ReadFileFlag("payload", f.payload)
	if err != nil {
		return err
	}
	if st, err := scitt.DecodeStatement(leaf); err == nil {
		leaf = st.Entry()
		v.describe(st)
	}
	verdict := v.proof(data, leaf)
	v.report.Verified = verdict == nil
	if verdict != nil {
		v.report.Error = verdict.Error()
		if cli.ExitCode(verdict) == cli.ExitUsage {
			v.unsure = verdict
		}
	}
	if err := v.Print(v.report, v.show); err != nil {
		return err
	}
	if verdict != nil {
		return fmt.Errorf("%s is not verified: %w", path, verdict)
	}
	return nil
}

// proof makes the checks of C2SP tlog-proof, "Verifying a tlog proof".
func (v *verification) proof(data, leaf []byte) error {
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
	policy, err := v.open.PolicyFor(cp.Origin)
	if err != nil {
		return err
	}
	switch vkey := scitt.NoteVKey(v.VKeys); {
	case vkey != "":
		key, err := note.NewVerifier(vkey)
		if err != nil {
			return cli.Usage(fmt.Errorf("--vkey: %w", err))
		}
		if cp, err = (scitt.CheckpointVerifiers{Note: key}).Open(p.Checkpoint); err != nil {
			return err
		}
	case policy == nil || len(policy.Logs) == 0:
		return cli.Usage(fmt.Errorf("nothing says which key the log %.80q has; give it with --vkey, or in the witness policy", cp.Origin))
	}
	path := scitt.InclusionProof{Size: cp.Size, Index: p.Index}
	for _, h := range p.Hashes {
		path.Path = append(path.Path, h[:])
	}
	root, err := path.Root(scitt.LeafHash(leaf))
	if err == nil && !bytes.Equal(root, cp.Root) {
		err = fmt.Errorf("%w: the proof does not lead from %s to the root", scitt.ErrProof, v.payload)
	}
	if err != nil {
		v.found("proof", witness.Failed, "%v", err)
		return err
	}
	v.found("proof", witness.OK, "entry %d of %d of the log %s", p.Index, cp.Size, cp.Origin)
	if policy == nil {
		v.found("witnesses", witness.NotChecked, "no --witness-policy is for this log")
		return nil
	}
	c, err := policy.Open(p.Checkpoint)
	if err == nil {
		err = v.open.HeldTo(c)
	}
	switch {
	case errors.Is(err, witness.ErrStale):
		v.found("witnesses", witness.NotChecked, "%v", err)
	case err != nil:
		v.found("witnesses", witness.Failed, "%v", err)
	default:
		v.found("witnesses", witness.OK, "%s; needed: %s", c, policy.Rule())
	}
	return err
}

// tlogProof writes the proof of an entry as a C2SP tlog-proof.
func tlogProof(p *scitt.InclusionProof, checkpoint []byte) []byte {
	out := proof.TLogProof{Index: p.Index, Checkpoint: checkpoint}
	for _, h := range p.Path {
		out.Hashes = append(out.Hashes, [32]byte(h))
	}
	return out.Marshal()
}
