package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/mirror"
)

const exportVerifyHelp = `
Of a directory, as an export (see conmotion export), without any network: the
manifest, keys, entries, tiles and root, every statement's signature and every
artifact, but not whether statements have expired. The verdict is on what the
manifest names: other files in the directory, such as those of an update that is at
work, are reported and are not part of it. There is no verdict (exit code 2) where
artifacts that statements sign are not in the export, or the key of an issuer is not
known. There --issuer-key is ISSUER=FILE; --vkey is for keys that you know.
`

func (a *app) verifyDir(ctx context.Context, f verifyFlags, dir string) error {
	for name, given := range map[string]bool{
		"log": f.log != "", "static": f.static != "", "keys": f.keys != "", "payload": f.payload != "", "leaf": f.leaf != "",
		"receipt": len(f.receipts) > 0, "artifacts": f.artifactStore.URL != "", "fetch": f.fetch, "at": f.at != "", "require-pq": f.requirePQ,
	} {
		if given {
			return cli.Usage(fmt.Errorf("--%s is for a statement, and %s is a directory", name, dir))
		}
	}
	o, err := a.exportOptions(ctx, f, dir)
	if err != nil {
		return err
	}
	p := a.Progress()
	o.Progress = p.Part
	r, err := mirror.Verify(ctx, dir, o)
	p.Done()
	if errors.Is(err, mirror.ErrNoExport) {
		return cli.Usage(fmt.Errorf("%w. conmotion fsck checks the files of any log", err))
	}
	if r == nil {
		return err
	}
	if err := a.Print(r, showExport(r)); err != nil {
		return err
	}
	switch {
	case err != nil:
		return cli.Bad(fmt.Errorf("%s is not verified: %s; and not all of it could be looked at: %w", dir, r.Error, err))
	case r.Error != "":
		return cli.Bad(fmt.Errorf("%s is not verified: %s", dir, r.Error))
	case r.Unchecked != "":
		return cli.Usage(fmt.Errorf("%s: no verdict: not checked: %s", dir, r.Unchecked))
	}
	return nil
}

// exportOptions says what an export is held to.
func (a *app) exportOptions(ctx context.Context, f verifyFlags, dir string) (o mirror.VerifyOptions, err error) {
	open, err := a.LogOptions(ctx, f.MemoryFlags)
	if err != nil {
		return o, err
	}
	open.Examine = true
	o.Open = func(ctx context.Context, vkeys []string) (mirror.Opened, error) {
		open.FirstKeys = vkeys
		l, err := party.Open(ctx, dir, open)
		if err != nil {
			return mirror.Opened{}, err
		}
		return mirror.Opened{Files: l.Files, Checkpoint: l.Checkpoint, View: l.View, Damage: l.Damage, VKeys: l.VKeys, Given: len(f.VKeys) > 0}, nil
	}
	if f.issuerKey != "" {
		issuer, path, key, err := readIssuerPair(ctx, f.issuerKey)
		if err != nil {
			return o, err
		}
		f.issuerKey, o.IssuerKeys = path, map[string]scitt.Key{issuer: *key}
	}
	o.Anchors, err = f.readAnchors(ctx)
	return o, err
}

func showExport(r *mirror.Report) func(*cli.Page) {
	return func(p *cli.Page) {
		result := "verified"
		switch {
		case r.Error != "":
			result = "NOT VERIFIED"
		case !r.Verified:
			result = "NO VERDICT"
		case slices.ContainsFunc(r.Checks, func(c witness.Finding) bool { return c.Check == "other files" }):
			result = "verified: what the manifest names"
		}
		p.Rows([][]string{{"log", r.Origin}, {"root", r.Root}, {"signed", r.Signed}})
		p.Line("")
		p.Rows(findings(r.Checks))
		p.Line("")
		p.Line("%s", result)
	}
}
