package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/tiles"
)

const accusationHelp = `
A file of the format conmotion-equivocation/1 is a proof that a log's key signed
two checkpoints that cannot both be true. Exit code 0 means that the proof is
valid, so the log equivocated; 1 that the file proves nothing. Give the log's
own key with --vkey: otherwise the key that the proof names is taken.

A file of the format conmotion-evidence/1, as a witness with --audit publishes it, says
that a log holds an entry that its policy does not admit. All of it is recomputed: that
the log's key signed the tree, that the entries are in it, which keys and policies were
in force, and the check that the entry fails. Exit code 0 means that this is proven; 1
that the file shows nothing; 2 that entries are left out that could change it, such as
another policy: give --static DIR or --log URL, and the log is audited up to the same
checkpoint. Give the log's own key with --vkey.`

// accuser says which log a document is about.
func (a *app) accuser(ctx context.Context, f verifyFlags) (*verify.Accuser, error) {
	if f.keys != "" {
		return nil, cli.Usage(errors.New("--keys are receipt keys, which sign no sizes; give the log's verifier key with --vkey"))
	}
	o, err := a.LogOptions(ctx, f.MemoryFlags)
	return &verify.Accuser{Options: o, Location: f.static + f.log}, err // one at most
}

// verifyEquivocation reports whether a document proves that a log signed two
// histories. That it does is the good outcome: the proof is valid.
func (a *app) verifyEquivocation(ctx context.Context, f verifyFlags, path string, data []byte) error {
	by, err := a.accuser(ctx, f)
	if err != nil {
		return err
	}
	r, err := by.Equivocation(ctx, data)
	if err != nil {
		return err
	}
	err = a.Print(r, func(p *cli.Page) {
		if !r.Proven {
			p.Line("NO PROOF: this file does not show that the log did anything wrong")
			return
		}
		p.Rows([][]string{
			{"log", r.Origin}, {"key", r.VKey},
			{"one checkpoint", fmt.Sprintf("%d entries, root %s", r.Older.Size, r.Older.Root)},
			{"another", fmt.Sprintf("%d entries, root %s", r.Newer.Size, r.Newer.Root)},
			{"result", "THE LOG EQUIVOCATED. The proof is valid: this key signed both checkpoints, and they cannot both be true."},
			{"", "The log can show different entries to different people. It is the log that is bad, not this file."},
		})
	})
	if err == nil && r.Wrong != nil {
		err = cli.Bad(fmt.Errorf("%s proves nothing about the log: %w", path, r.Wrong))
	}
	return err
}

// verifyEvidence reports whether a document proves that a log holds what its policy does
// not admit. That it does is the good outcome.
func (a *app) verifyEvidence(ctx context.Context, f verifyFlags, path string, data []byte) error {
	by, err := a.accuser(ctx, f)
	if err != nil {
		return err
	}
	p := a.Progress()
	by.Progress = p.Of("audit")
	r, err := by.Evidence(ctx, data)
	p.Done()
	if err != nil {
		return noVerdict(err)
	}
	err = a.Print(r, func(p *cli.Page) {
		if r.Wrong != nil {
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
	case err != nil:
		return err
	case r.Wrong != nil:
		return cli.Bad(fmt.Errorf("%s shows nothing about the log: %w", path, r.Wrong))
	case !r.Proven:
		return cli.Usage(fmt.Errorf("%s: no verdict without the entries that it leaves out: give --static or --log", path))
	}
	return nil
}

// keepProof writes a proof that an audit found into the directory that remembers.
func (a *app) keepProof(ctx context.Context, f cli.MemoryFlags, document []byte) {
	o, err := a.LogOptions(ctx, f)
	if err != nil || o.Home == "" {
		return // the proof is in the audit's state
	}
	e, err := tiles.ParseEquivocation(document)
	var file string
	if err == nil {
		file, err = o.Home.KeepProof(e)
	}
	if err != nil {
		a.Notice("the proof that the log forked could not be kept: %v", err)
		return
	}
	a.Notice("the proof that the log forked, for anybody to verify, is %s", file)
}
