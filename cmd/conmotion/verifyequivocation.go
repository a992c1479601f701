package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

const equivocationHelp = `
A file of the format conmotion-equivocation/1 is a proof that a log's key signed
two checkpoints that cannot both be true. Exit code 0 means that the proof is
valid, so the log equivocated; 1 that the file proves nothing. Give the log's
own key with --vkey: otherwise the key that the proof names is taken.`

// equivocationReport is what verify says about a proof of equivocation.
type equivocationReport struct {
	Proven bool           `json:"equivocation_proven"`
	Error  string         `json:"error,omitempty"` // why it is not
	Origin string         `json:"origin,omitempty"`
	VKey   string         `json:"vkey"`
	Given  bool           `json:"vkey_given"` // the key is the user's own, and not the proof's
	Older  *checkpointRow `json:"older,omitempty"`
	Newer  *checkpointRow `json:"newer,omitempty"`
}

type checkpointRow struct {
	Size uint64 `json:"size"`
	Root string `json:"root"`
	Note string `json:"note"`
}

// verifyEquivocation reports whether a document proves that a log signed two
// histories. That it does is the good outcome: the proof is valid.
func (a *app) verifyEquivocation(ctx context.Context, f verifyFlags, path string, data []byte) error {
	e, err := tiles.ParseEquivocation(bytes.TrimSpace(data))
	if err != nil {
		return a.equivocationResult(path, &equivocationReport{}, err)
	}
	r := &equivocationReport{VKey: e.VKey}
	cv, k, err := a.proofKeys(ctx, f, []string{e.VKey})
	if err != nil && !errors.Is(err, errProofKeys) {
		return err
	}
	if err != nil {
		return a.equivocationResult(path, r, err)
	}
	r.VKey, r.Given = scitt.NoteVKey(k.vkeys), k.given
	older, newer, err := e.Verify(cv)
	if err == nil {
		row := func(cp *scitt.Checkpoint) *checkpointRow {
			return &checkpointRow{cp.Size, hex.EncodeToString(cp.Root), string(cp.Raw)}
		}
		r.Proven, r.Origin, r.Older, r.Newer = true, older.Origin, row(older), row(newer)
	}
	return a.equivocationResult(path, r, err)
}

// errProofKeys is wrapped when the keys that a proof names are none.
var errProofKeys = errors.New("the keys that the file names")

// proofKey are the keys of the log that a proof is held to.
type proofKey struct {
	vkeys []string
	given bool       // they are the user's own, and not the proof's
	log   *party.Log // with --log or --static; nil without
}

// proofKeys gives the keys of the log that a proof speaks of: those that the user names,
// by themselves or by a log, or else those that the proof names.
func (a *app) proofKeys(ctx context.Context, f verifyFlags, named []string) (cv scitt.CheckpointVerifiers, k proofKey, err error) {
	if f.keys != "" {
		return cv, k, cli.Usage(errors.New("--keys are receipt keys, which sign no sizes; give the log's verifier key with --vkey"))
	}
	switch location := f.static + f.log; { // of which one is given at most
	case location != "":
		if k.log, err = a.examine(ctx, location, f.MemoryFlags); err != nil {
			return cv, k, err
		}
		k.vkeys, k.given = k.log.VKeys, len(f.VKeys) > 0
		return k.log.Files.Verifiers, k, nil
	case len(f.VKeys) > 0:
		k.vkeys, k.given = f.VKeys, true
		if cv, err = scitt.NewCheckpointVerifiers(f.VKeys); err != nil {
			err = cli.Usage(fmt.Errorf("--vkey: %w", err))
		}
		return cv, k, err
	}
	if cv, err = scitt.NewCheckpointVerifiers(named); err != nil {
		return cv, k, fmt.Errorf("%w: %w", errProofKeys, err)
	}
	k.vkeys = named
	a.Notice("notice: the key is the one that the proof names. Compare it with the key of the log that you mean, or give that one with --vkey.")
	return cv, k, nil
}

func (a *app) equivocationResult(path string, r *equivocationReport, err error) error {
	if err != nil {
		r.Error = err.Error()
	}
	printErr := a.Print(r, func(p *cli.Page) {
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
	if printErr != nil {
		return printErr
	}
	if err != nil {
		return cli.Bad(fmt.Errorf("%s proves nothing about the log: %w", path, err))
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
