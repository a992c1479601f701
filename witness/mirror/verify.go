package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

const (
	workers      = 8   // files that are read at a time
	mostProblems = 100 // of one check that are listed; all are counted
)

// ErrNoExport is wrapped when a directory has no manifest.
var ErrNoExport = errors.New("it is no export")

// Report is what Verify found out about an export.
type Report struct {
	Verified   bool              `json:"verified"`
	Error      string            `json:"error,omitempty"`     // the first failure
	Unchecked  string            `json:"unchecked,omitempty"` // the first of what the verdict asks for and could not be checked
	Origin     string            `json:"origin,omitempty"`
	Size       uint64            `json:"size"`
	Root       string            `json:"root,omitempty"`
	Signed     string            `json:"signed,omitempty"` // the checkpoint, as RFC 3339
	Statements uint64            `json:"statements"`       // whose signatures verify
	Artifacts  int               `json:"artifacts"`        // whose digests are right
	Checks     []witness.Finding `json:"checks"`
}

// Opened is the log in a directory, which may be damaged.
type Opened struct {
	Files      *tiles.Log
	Checkpoint *scitt.Checkpoint // verified; nil when it does not verify
	View       *tiles.View       // at Checkpoint; nil when the tiles are damaged
	Damage     error             // why one of these is nil, or the tiles are not to be believed
	VKeys      []string          // that are trusted
	Given      bool              // the caller knows VKeys, so that they are not the export's own word
}

// VerifyOptions say what an export is held to.
type VerifyOptions struct {
	// Open opens the log in the directory, to examine it. VKeys are the verifier
	// keys in the manifest, for where no others are known. An error ends the
	// verification, unless it wraps [fs.ErrNotExist] or [scitt.ErrMalformed].
	Open func(ctx context.Context, vkeys []string) (Opened, error)
	// IssuerKeys are the keys of issuers. Anchors say whose key counts without;
	// when nil, that of every did:jwk and did:key.
	IssuerKeys map[string]scitt.Key
	Anchors    *scitt.Anchors
	// Progress, when not nil, is called with how much of what is done.
	Progress func(what string, done, total uint64)
}

// verification is one run of Verify.
type verification struct {
	dir      string
	o        VerifyOptions
	manifest *manifest
	log      Opened
	service  scitt.KeySet // of the log's own statements
	report   Report
	shown    map[string]int // failures of a check that were listed
}

// Verify checks an export from its files alone: the manifest and every file's
// size and digest, the checkpoint's signatures, the keys, the entries, tiles and
// root, every statement's signature and every artifact. It reads nothing but
// plain files, and refuses a directory with anything else in it. What is wrong
// is in the report; the error is about what kept it from looking, and wraps
// ErrNoExport when there is no manifest. With an error there is a report where
// something wrong was found before.
func Verify(ctx context.Context, dir string, o VerifyOptions) (*Report, error) {
	v := &verification{dir: dir, o: o, shown: map[string]int{}, report: Report{Checks: []witness.Finding{}}}
	if v.o.Progress == nil {
		v.o.Progress = func(string, uint64, uint64) {}
	}
	if v.o.Anchors == nil {
		v.o.Anchors = scitt.SelfCertifying(nil, nil)
	}
	err := v.run(ctx)
	if err != nil && (len(v.shown) == 0 || ctx.Err() != nil) {
		return nil, err
	}
	r := &v.report
	for _, c := range r.Checks {
		if c.Result == witness.Failed && r.Error == "" {
			r.Error = c.Check + ": " + c.Detail
		}
	}
	r.Verified = r.Error == "" && r.Unchecked == ""
	return r, err
}

func (v *verification) found(check, result, format string, args ...any) {
	v.report.Checks = append(v.report.Checks, witness.Finding{Check: check, Result: result, Detail: fmt.Sprintf(format, args...)})
}

// unchecked notes what could not be checked, without which there is no verdict.
func (v *verification) unchecked(check, format string, args ...any) {
	v.found(check, witness.NotChecked, format, args...)
	v.report.Unchecked = cmp.Or(v.report.Unchecked, check+": "+fmt.Sprintf(format, args...))
}

// failed notes a failure. Of many of one check the first hundred are listed.
func (v *verification) failed(check, format string, args ...any) {
	if v.shown[check]++; v.shown[check] <= mostProblems {
		v.found(check, witness.Failed, format, args...)
	}
}

// summary ends a check: with what is good, or with how many more failures
// there are.
func (v *verification) summary(check, format string, args ...any) {
	switch n := v.shown[check]; {
	case n == 0:
		v.found(check, witness.OK, format, args...)
	case n > mostProblems:
		v.found(check, witness.Failed, "and %d more", n-mostProblems)
	}
}

func (v *verification) path(name string) string {
	return filepath.Join(v.dir, filepath.FromSlash(name))
}

// isMissing reports whether a file cannot be there: not where a part of its path is a
// file, or its name is too long.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}

// run makes all checks. The error is about what kept it from looking.
func (v *verification) run(ctx context.Context) error {
	if err := plain.Tree(ctx, v.dir); errors.Is(err, plain.ErrNotPlain) {
		v.failed("files", "%v; an export has plain files only", err)
		return nil
	} else if err != nil {
		return err
	}
	data, err := durable.ReadFile(v.path(manifestPath))
	if isMissing(err) {
		return fmt.Errorf("%s has no %s: %w", v.dir, manifestPath, ErrNoExport)
	}
	if err != nil {
		return err
	}
	if v.manifest, err = parseManifest(data); err != nil {
		v.failed("manifest", "%v", err)
		return nil
	}
	if _, err := os.Stat(v.path(copying)); err == nil {
		v.found("complete", witness.NotChecked, "an export into it is at work, or was interrupted: run conmotion export again")
	}
	if err := v.files(ctx); err != nil {
		return err
	}
	switch v.log, err = v.o.Open(ctx, v.manifest.VKeys); {
	case err == nil && v.log.Checkpoint == nil:
		v.failed("checkpoint", "%v", v.log.Damage)
		return nil
	case isMissing(err):
		v.failed("checkpoint", "%v", err)
		return nil
	case errors.Is(err, scitt.ErrMalformed):
		v.failed("keys", "%v", err)
		return nil
	case err != nil:
		return err
	}
	v.checkpoint()
	v.keys(ctx)
	return v.entries(ctx)
}

// checkpoint holds the checkpoint to the manifest.
func (v *verification) checkpoint() {
	cp, r := v.log.Checkpoint, &v.report
	r.Origin, r.Size, r.Root = cp.Origin, cp.Size, fmt.Sprintf("%x", cp.Root)
	if cp.Tree != nil {
		r.Signed = printable.Time(cp.Tree.IssuedAt)
	}
	if !v.manifest.Is(cp) {
		v.failed("checkpoint", "it is of %d entries of %q, and the manifest of %d of %q: an update was interrupted (run conmotion export again), or files were exchanged",
			cp.Size, cp.Origin, v.manifest.Checkpoint.Size, v.manifest.Checkpoint.Origin)
		return
	}
	v.found("checkpoint", witness.OK, "%d entries of %s", cp.Size, cp.Origin)
}

// keys compares the three places where an export has keys.
func (v *verification) keys(ctx context.Context) {
	if !v.log.Given && !slices.Equal(slices.Sorted(slices.Values(v.log.VKeys)), v.manifest.VKeys) {
		v.failed("keys", "the manifest names other verifier keys than %s", tiles.ConfigurationPath)
	}
	data, err := v.log.Files.Source.Get(ctx, tiles.KeysPath)
	if isMissing(err) {
		v.found("keys", witness.NotChecked, "the export has no receipt keys")
		return
	}
	var set scitt.KeySet
	if err == nil {
		set, err = scitt.ParseKeySet(data)
	}
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
	if v.log.Given {
		source = "as --vkey says"
	}
	v.summary("keys", "%s, %s; %s among them", plural.Of(len(v.log.VKeys), "verifier key"), source, plural.Verb(known, "receipt key", "is", "are"))
}

// serviceKeys finds the keys that sign the log's own statements.
func (v *verification) serviceKeys(ctx context.Context) error {
	data, err := v.log.Files.Source.Get(ctx, tiles.ConfigurationPath)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := scitt.ParseConfiguration(data)
	if err != nil {
		v.failed("keys", "%s: %v", tiles.ConfigurationPath, err)
		return nil
	}
	if len(c.Keys) == 0 {
		return nil
	}
	statements, err := v.log.View.FollowKeys(ctx, nil, c.Keys)
	if errors.Is(err, tiles.ErrKeys) {
		v.failed("keys", "%v", err)
		return nil
	}
	for _, k := range statements {
		if v.service = append(v.service, k.Service...); k.RecoveryKey != nil {
			v.service = append(v.service, *k.RecoveryKey)
		}
	}
	return err
}

// entries checks the log itself: the files against the root, and then every
// statement and artifact.
func (v *verification) entries(ctx context.Context) error {
	cp := v.log.Checkpoint
	err := tiles.Fsck(ctx, v.log.Files.Source, cp, func(err error) { v.failed("log", "%v", err) }, func(done uint64) {
		v.o.Progress("entries checked", done, cp.Size)
	})
	if errors.Is(err, tiles.ErrCorrupt) || isMissing(err) {
		v.failed("log", "%v", err)
	} else if err != nil {
		return err
	}
	if v.log.Damage != nil && v.shown["log"] == 0 {
		v.failed("log", "%v", v.log.Damage)
	}
	if v.summary("log", "%s, every tile, and the root %x", plural.Of(cp.Size, "entry"), cp.Root); v.shown["log"] > 0 {
		return nil // the statements are not those of the log
	}
	if err := v.serviceKeys(ctx); err != nil {
		return err
	}
	digests, err := v.statements(ctx, v.log.View)
	if err != nil {
		return err
	}
	return v.artifacts(ctx, digests)
}
