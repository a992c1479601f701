package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

const exportVerifyHelp = `
Of a directory, as an export (see conmotion export), without any network: the
manifest, keys, entries, tiles and root, every statement's signature and every
artifact. There --issuer-key is ISSUER=FILE; --vkey is for keys that you know.
`

// exportReport is what verify found out about an export.
type exportReport struct {
	Verified   bool      `json:"verified"`
	Error      string    `json:"error,omitempty"`
	Origin     string    `json:"origin,omitempty"`
	Size       uint64    `json:"size"`
	Root       string    `json:"root,omitempty"`
	Signed     string    `json:"signed,omitempty"` // the checkpoint, as RFC 3339
	Statements uint64    `json:"statements"`       // whose signatures verify
	Artifacts  int       `json:"artifacts"`        // whose digests are right
	Checks     []finding `json:"checks"`
}

// dirVerification is one run of verify on a directory.
type dirVerification struct {
	*app
	verifyFlags
	dir      string
	manifest *party.Manifest
	log      *party.Log
	progress *progress
	report   exportReport
	shown    map[string]int // failures of a check that were listed
}

func (a *app) verifyDir(ctx context.Context, f verifyFlags, dir string) error {
	for name, given := range map[string]bool{
		"log": f.log != "", "static": f.static != "", "keys": f.keys != "", "payload": f.payload != "", "leaf": f.leaf != "",
		"receipt": len(f.receipts) > 0, "artifacts": f.artifactStore.url != "", "fetch": f.fetch,
	} {
		if given {
			return usage(fmt.Errorf("--%s is for a statement, and %s is a directory", name, dir))
		}
	}
	v := &dirVerification{app: a, verifyFlags: f, dir: dir, progress: a.progress(), shown: map[string]int{}, report: exportReport{Checks: []finding{}}}
	defer v.progress.done()
	if err := v.run(ctx); err != nil {
		return err
	}
	v.progress.done()
	for _, c := range v.report.Checks {
		if c.Result == resultBad && v.report.Error == "" {
			v.report.Error = c.Check + ": " + c.Detail
		}
	}
	v.report.Verified = v.report.Error == ""
	if err := v.print(); err != nil {
		return err
	}
	if !v.report.Verified {
		return bad(fmt.Errorf("%s is not verified: %s", dir, v.report.Error))
	}
	return nil
}

func (v *dirVerification) found(check, result, format string, args ...any) {
	v.report.Checks = append(v.report.Checks, finding{check, result, fmt.Sprintf(format, args...)})
}

// failed tells a failure. Of many of one kind the first hundred are listed.
func (v *dirVerification) failed(check, format string, args ...any) {
	if v.shown[check]++; v.shown[check] <= mostProblems {
		v.found(check, resultBad, format, args...)
	}
}

// summary ends a check: with what is good, or with how many failures there
// are more.
func (v *dirVerification) summary(check, format string, args ...any) {
	switch n := v.shown[check]; {
	case n == 0:
		v.found(check, resultOK, format, args...)
	case n > mostProblems:
		v.found(check, resultBad, "and %d more", n-mostProblems)
	}
}

// run makes all checks. The error is about what kept it from looking.
func (v *dirVerification) run(ctx context.Context) error {
	data, err := os.ReadFile(filepath.Join(v.dir, party.ManifestPath))
	if isMissing(err) {
		return usage(fmt.Errorf("%s has no %s: it is no export. conmotion fsck checks the files of any log", v.dir, party.ManifestPath))
	}
	if err != nil {
		return err
	}
	if v.manifest, err = party.ParseManifest(data); err != nil {
		v.failed("manifest", "%v", err)
		return nil
	}
	if _, err := os.Stat(filepath.Join(v.dir, exporting)); err == nil {
		v.found("complete", resultNotChecked, "an export into it is at work, or was interrupted: run conmotion export again")
	}
	if err := v.files(ctx); err != nil {
		return err
	}
	switch v.log, err = v.open(ctx); {
	case isVerdict(err):
		return err
	case err == nil && v.log.Checkpoint == nil:
		v.failed("checkpoint", "%v", v.log.Damage)
		return nil
	case isMissing(err):
		v.failed("checkpoint", "%v", err)
		return nil
	case exitCode(err) == exitBad:
		v.failed("keys", "%v", err)
		return nil
	case err != nil:
		return err
	}
	cp := v.checkpoint()
	v.keys(ctx)
	return v.entries(ctx, cp)
}

// open opens the log. Where the export has no configuration, keys that are new
// here are those of the manifest.
func (v *dirVerification) open(ctx context.Context) (*party.Log, error) {
	o, err := v.logOptions(v.memoryFlags)
	if err != nil {
		return nil, err
	}
	o.Examine, o.FirstKeys = true, v.manifest.VKeys
	l, err := party.Open(ctx, v.dir, o)
	return l, partyError(err)
}

// checkpoint holds the checkpoint to the manifest.
func (v *dirVerification) checkpoint() *scitt.Checkpoint {
	cp, r := v.log.Checkpoint, &v.report
	r.Origin, r.Size, r.Root = cp.Origin, cp.Size, fmt.Sprintf("%x", cp.Root)
	if cp.Tree != nil {
		r.Signed = timeOf(cp.Tree.IssuedAt)
	}
	if !v.manifest.Is(cp) {
		v.failed("checkpoint", "it is of %d entries of %q, and the manifest of %d of %q: an update was interrupted (run conmotion export again), or files were exchanged",
			cp.Size, cp.Origin, v.manifest.Checkpoint.Size, v.manifest.Checkpoint.Origin)
		return cp
	}
	v.found("checkpoint", resultOK, "%d entries of %s", cp.Size, cp.Origin)
	return cp
}

// keys compares the three places where an export has keys.
func (v *dirVerification) keys(ctx context.Context) {
	trusted := slices.Sorted(slices.Values(v.log.VKeys))
	given := len(v.vkeys) > 0
	if !given && !slices.Equal(trusted, v.manifest.VKeys) {
		v.failed("keys", "the manifest names other verifier keys than %s", tiles.ConfigurationPath)
	}
	data, err := v.log.Files.Source.Get(ctx, tiles.KeysPath)
	if isMissing(err) {
		v.found("keys", resultNotChecked, "the export has no receipt keys")
		return
	}
	set, err := scitt.ParseKeySet(data)
	if err != nil {
		v.failed("keys", "%s: %v", tiles.KeysPath, err)
		return
	}
	known := 0
	for _, key := range set {
		vkey, err := scitt.TreeVKey(v.log.Files.Verifiers.Note.Name(), key.Public)
		if err == nil && slices.Contains(v.log.VKeys, vkey) {
			known++
		}
	}
	if known < len(set) {
		v.failed("keys", "%d of the %d receipt keys in %s are not among the log's verifier keys", len(set)-known, len(set), tiles.KeysPath)
		return
	}
	source := "as the export says"
	if given {
		source = "as --vkey says"
	}
	v.summary("keys", "%d verifier keys, %s; %d receipt keys are among them", len(v.log.VKeys), source, known)
}

// files holds every file to the manifest, and looks for others.
func (v *dirVerification) files(ctx context.Context) error {
	m := v.manifest
	listed := map[string]bool{party.ManifestPath: true}
	check := func(ctx context.Context, n uint64) (problem string, err error) {
		f := m.Files[n]
		digest, size, err := party.HashFile(ctx, filepath.Join(v.dir, filepath.FromSlash(f.Path)))
		switch {
		case isMissing(err):
			return f.Path + " is not there", nil
		case err != nil:
			return "", err
		case digest != f.SHA256:
			return fmt.Sprintf("%s has %d bytes with SHA-256 %s, and the manifest says %d with %s", f.Path, size, digest, f.Size, f.SHA256), nil
		}
		return "", nil
	}
	for n, r := range parallel.Ordered(ctx, 0, uint64(len(m.Files)), readers, check) {
		if r.Err != nil {
			return r.Err
		}
		listed[m.Files[n].Path] = true
		if r.Value != "" {
			v.failed("manifest", "%s", r.Value)
		}
		v.progress.show(func() string { return fmt.Sprintf("hashed %d of %d files", n+1, len(m.Files)) })
	}
	others, example, err := v.others(listed)
	if err != nil {
		return err
	}
	v.summary("manifest", "%d files have the digests that it says", len(m.Files))
	if others > 0 {
		v.found("other files", resultNotChecked, "%d that the manifest does not name, such as %s", others, example)
	}
	return nil
}

// entries checks the log itself: the files against the root, and then every
// statement and artifact.
func (v *dirVerification) entries(ctx context.Context, cp *scitt.Checkpoint) error {
	err := tiles.Fsck(ctx, v.log.Files.Source, cp, func(err error) { v.failed("log", "%v", err) }, func(done uint64) {
		v.progress.show(func() string { return fmt.Sprintf("checked %d of %d entries", done, cp.Size) })
	})
	if errors.Is(err, tiles.ErrCorrupt) || isMissing(err) {
		v.failed("log", "%v", err)
	} else if err != nil {
		return err
	}
	if v.log.Damage != nil && v.shown["log"] == 0 {
		v.failed("log", "%v", v.log.Damage)
	}
	if v.summary("log", "%d entries, every tile, and the root %x", cp.Size, cp.Root); v.shown["log"] > 0 {
		return nil // the statements are not those of the log
	}
	digests, err := v.statements(ctx, v.log.View)
	if err != nil {
		return err
	}
	return v.artifacts(ctx, digests)
}

// artifacts holds every artifact to its digest, and every digest that a
// statement signs to the manifest.
func (v *dirVerification) artifacts(ctx context.Context, signed []party.Digest) error {
	m := v.manifest
	for n, r := range parallel.Ordered(ctx, 0, uint64(len(m.Artifacts)), readers, func(ctx context.Context, n uint64) (party.Digest, error) {
		digest, _, err := party.HashFile(ctx, filepath.Join(v.dir, filepath.FromSlash(party.ArtifactPath(m.Artifacts[n].SHA256))))
		return digest, err
	}) {
		switch want := m.Artifacts[n].SHA256; {
		case isMissing(r.Err):
			v.failed("artifacts", "%s is not there", want)
		case r.Err != nil:
			return r.Err
		case r.Value != want:
			v.failed("artifacts", "%s has the digest %s", want, r.Value)
		default:
			v.report.Artifacts++
		}
		v.progress.show(func() string { return fmt.Sprintf("hashed %d of %d artifacts", n+1, len(m.Artifacts)) })
	}
	compare := func(a, b party.Digest) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(signed, compare)
	left := 0
	for _, d := range slices.Compact(signed) {
		_, there := slices.BinarySearchFunc(m.Artifacts, d, func(a party.ManifestArtifact, d party.Digest) int { return compare(a.SHA256, d) })
		_, missing := slices.BinarySearchFunc(m.Missing, d, compare)
		switch {
		case there:
		case missing || m.LeftOut:
			left++
		default:
			v.failed("artifacts", "%s is signed by a statement, and the manifest does not name it", d)
		}
	}
	v.summary("artifacts", "%d have their digests", v.report.Artifacts)
	if left > 0 {
		v.found("artifacts", resultNotChecked, "%d that statements sign are not in the export, as its manifest says", left)
	}
	return nil
}

func (v *dirVerification) print() error {
	r := &v.report
	if v.json {
		return v.printJSON(r)
	}
	if err := v.printRows([][]string{{"log", r.Origin}, {"root", r.Root}, {"signed", r.Signed}}); err != nil {
		return err
	}
	var rows [][]string
	for _, c := range r.Checks {
		rows = append(rows, []string{c.Result, c.Check, cell(c.Detail)})
	}
	result := "verified"
	if !r.Verified {
		result = "NOT VERIFIED"
	}
	if err := v.table([]string{"", "", ""}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(v.stdout, "\n%s\n", result)
	return err
}
