package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/witness/audit"
)

const evidenceHelp = `
A file of the format conmotion-evidence/1, as a witness with --audit publishes it, says
that a log holds an entry that its policy does not admit. All of it is recomputed: that
the log's key signed the tree, that the entries are in it, which keys and policies were
in force, and the check that the entry fails. Exit code 0 means that this is proven; 1
that the file shows nothing; 2 that entries are left out that could change it, such as
another policy: give --static DIR or --log URL, and the log is audited up to the same
checkpoint. Give the log's own key with --vkey.`

// evidenceReport is what verify says about evidence.
type evidenceReport struct {
	Proven  bool        `json:"violation_proven"`
	Error   string      `json:"error,omitempty"` // why it is not
	Origin  string      `json:"origin,omitempty"`
	Size    uint64      `json:"size,omitempty"` // of the tree that the log signed
	Index   uint64      `json:"index"`          // of the entry
	EntryID string      `json:"entry_id,omitempty"`
	Check   string      `json:"check"`
	Message string      `json:"message,omitempty"`
	Gaps    []audit.Gap `json:"gaps,omitempty"` // entries that are left out, and could change it
	Audited bool        `json:"log_audited"`    // the log was read in place of them
	VKeys   []string    `json:"vkeys"`
	Given   bool        `json:"vkeys_given"` // the keys are the user's own, and not the file's
}

// verifyEvidence reports whether a document proves that a log holds what its policy does
// not admit. That it does is the good outcome.
func (a *app) verifyEvidence(ctx context.Context, f verifyFlags, path string, data []byte) error {
	e, err := audit.ParseEvidence(bytes.TrimSpace(data))
	if err != nil {
		return a.evidenceResult(path, &evidenceReport{}, err)
	}
	r := &evidenceReport{Index: e.Accused().Index, Check: e.Check, VKeys: e.VKeys}
	cv, k, err := a.proofKeys(ctx, f, e.VKeys)
	if err != nil && !errors.Is(err, errProofKeys) {
		return err
	}
	if err != nil {
		return a.evidenceResult(path, r, err)
	}
	r.VKeys, r.Given = k.vkeys, k.given
	judged, err := e.Verify(ctx, cv, audit.Options{})
	if _, unread := errors.AsType[*audit.SchemaError](err); unread {
		return cli.Usage(err)
	}
	if err != nil {
		return a.evidenceResult(path, r, err)
	}
	r.Origin, r.Size, r.EntryID, r.Message = judged.Checkpoint.Origin, judged.Checkpoint.Size, judged.EntryID, judged.Message
	if r.Proven = len(judged.Gaps) == 0; !r.Proven && k.log != nil {
		r.Audited = true
		p := a.Progress()
		r.Proven, err = e.InLog(ctx, k.log.Files, judged.Checkpoint, audit.Options{VKeys: k.vkeys, Progress: func(done, size uint64) {
			p.Show(func() string { return fmt.Sprintf("audited %d of %d entries", done, size) })
		}})
		p.Done()
		if err != nil {
			return cli.Usage(fmt.Errorf("the log cannot be audited up to the checkpoint of the evidence: %w", err))
		}
		if !r.Proven {
			err = fmt.Errorf("%w: an audit of the log does not find it", audit.ErrEvidence)
		}
	} else {
		r.Gaps = judged.Gaps
	}
	return a.evidenceResult(path, r, err)
}

func (a *app) evidenceResult(path string, r *evidenceReport, err error) error {
	if err != nil {
		r.Error = err.Error()
	}
	if r.VKeys = slices.Clone(r.VKeys); r.VKeys == nil {
		r.VKeys = []string{}
	}
	printErr := a.Print(r, func(p *cli.Page) {
		if r.Error != "" {
			p.Line("NO EVIDENCE: this file does not show that the log did anything wrong")
			return
		}
		result := "THE LOG HOLDS AN ENTRY THAT IT SHOULD NOT. This key signed a tree with it, and it fails the check."
		if !r.Proven {
			result = "not proven from this file alone: entries are left out that could change it"
		}
		rows := [][]string{
			{"log", r.Origin}, {"keys", fmt.Sprint(len(r.VKeys))}, {"tree", fmt.Sprintf("%d entries", r.Size)},
			{"entry", fmt.Sprint(r.Index)}, {"id", r.EntryID}, {"fails", r.Check}, {"", r.Message},
		}
		for _, g := range r.Gaps {
			rows = append(rows, []string{"left out", fmt.Sprintf("entries %d to %d", g.From, g.To-1)})
		}
		p.Rows(append(rows, []string{"result", result}))
	})
	switch {
	case printErr != nil:
		return printErr
	case err != nil:
		return cli.Bad(fmt.Errorf("%s shows nothing about the log: %w", path, err))
	case !r.Proven:
		return cli.Usage(fmt.Errorf("%s: no verdict without the entries that it leaves out: give --static or --log", path))
	}
	return nil
}
