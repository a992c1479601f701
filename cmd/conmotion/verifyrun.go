package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// soundHelp says what shows that a log holds an entry when a Receipt does not.
const soundHelp = "to know that the log holds the entry, get a fresh receipt (conmotion receipt --log URL --statement FILE), " +
	"have its checkpoint of now prove it (conmotion verify --log URL, or --static with its files), or ask for witnesses (--witness-policy) or for other logs (--quorum)"

// run makes all checks of a statement, which is in several files when they are
// different signatures of it. The verdict is nil when it is verified; the error
// is about what kept it from looking.
func (v *verification) run(ctx context.Context, files ...[]byte) (verdict, err error) {
	verifier, err := v.verifier()
	if err != nil {
		return nil, err
	}
	v.byNow = map[string]*witness.Cosigned{}
	if v.open, err = v.LogOptions(v.MemoryFlags); err != nil {
		return nil, err
	}
	if v.artifacts, err = v.app.Artifacts(v.artifactStore, 1); err != nil {
		return nil, err
	}
	var quorum *witness.Quorum
	var keys witness.Keys
	if v.quorum > 0 {
		quorum, err = v.logsOf(ctx)
	} else {
		keys, err = v.logKeys(ctx)
	}
	if err != nil {
		return nil, err
	}
	var outs []*scitt.Verification
	for _, data := range files {
		out, verdict, err := v.file(ctx, data, *verifier, quorum, keys)
		if verdict != nil || err != nil {
			return verdict, err
		}
		outs = append(outs, out)
	}
	if quorum != nil {
		err = v.counted(ctx, quorum, outs)
	} else {
		err = v.current(ctx, keys, outs)
	}
	if err != nil {
		return nil, err
	}
	if err := v.witnesses(outs); err != nil {
		return nil, err
	}
	for _, out := range outs {
		verdict := out.Err()
		if errors.Is(verdict, scitt.ErrCompromised) {
			if quorum == nil && !v.held {
				v.unsure = fmt.Errorf("%w; %s", verdict, soundHelp)
			}
			continue
		}
		// The file may be older than the key, or newer than a compromise of it.
		if quorum == nil && v.keys != "" && len(outs) == 1 && out.SignatureErr == nil && out.TimeErr == nil && errors.Is(verdict, scitt.ErrUnknownKey) && !errors.Is(verdict, scitt.ErrTime) {
			v.unsure = fmt.Errorf("%w; the keys of %s are those that the log had when it was saved; %s", verdict, v.keys, soundHelp)
			continue
		}
		if len(outs) > 1 && out.SignatureErr == nil && errors.Is(verdict, scitt.ErrUnknownKey) {
			continue // none of these logs has this signature: the file counts for nothing
		}
		if verdict != nil {
			return verdict, nil
		}
	}
	for _, c := range v.report.Checks {
		if c.Result == witness.Failed {
			return fmt.Errorf("%s: %s", c.Check, c.Detail), nil
		}
	}
	return nil, nil
}

// file makes the checks of one file. A verdict means that there is nothing
// more to look at; what else failed is in the result and among the findings.
func (v *verification) file(ctx context.Context, data []byte, verifier scitt.Verifier, quorum *witness.Quorum, keys witness.Keys) (out *scitt.Verification, verdict, err error) {
	st, verdict := scitt.DecodeStatement(data)
	if verdict != nil {
		v.found("form", witness.Failed, "%v", verdict)
		return nil, verdict, nil
	}
	receipts := st.Receipts
	for _, path := range v.receipts {
		r, err := cli.ReadFileFlag("receipt", path)
		if err != nil {
			return nil, nil, err
		}
		receipts = append(receipts, r)
	}
	if len(receipts) > len(st.Receipts) {
		data = scitt.AttachReceipts(st, receipts...)
	}
	if quorum != nil {
		if out, verdict = quorum.Verify(&verifier, data, receipts); errors.Is(verdict, witness.ErrContent) {
			v.found("entry id", witness.Failed, "%v", verdict)
		}
	} else {
		verifier.LogKeys = keys.For(receipts)
		out, verdict = verifier.Verify(data)
	}
	if verdict != nil {
		return nil, verdict, nil
	}
	v.describe(st)
	v.signature(out)
	v.time(out)
	v.issuer(out)
	v.chain(out)
	if err := v.content(ctx, out); err != nil {
		return nil, nil, err
	}
	for _, r := range out.Receipts {
		v.seen++
		v.receipt(v.seen, r, st)
	}
	if len(out.Receipts) == 0 {
		v.found("receipt", witness.Failed, "the statement carries none")
	}
	if n := len(st.SignedReceipts); n > 0 {
		v.found("signed receipts", witness.NotChecked, "%s in the protected header, so not of this statement, which was signed later", plural.Verb(n, "receipt", "is", "are"))
	}
	return out, nil, nil
}
