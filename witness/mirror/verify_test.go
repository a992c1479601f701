package mirror

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// TestVerifyFailures: whatever is changed shows, by the check that it fails.
func TestVerifyFailures(t *testing.T) {
	w := newWorld(t)
	w.add(300)
	whole := filepath.Join(t.TempDir(), "whole")
	w.export(whole)
	artifact := digestOf([]byte("content 7")).Path()
	edit := func(name string, change func([]byte) []byte) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, filepath.FromSlash(name))
			data, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, change(data), 0o644))
		}
	}
	flip := func(data []byte) []byte { data[len(data)-10] ^= 1; return data }
	longer := func(data []byte) []byte { return append(data, 0) }
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, filepath.FromSlash(name))) }
	}
	link := func(name, target string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, filepath.FromSlash(name))
			return errors.Join(os.Remove(path), os.Symlink(target, path))
		}
	}
	inManifest := func(change func(m *manifest)) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, manifestPath)
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			m, err := parseManifest(data)
			if err != nil {
				return err
			}
			change(m)
			if data, err = m.Marshal(); err != nil {
				return err
			}
			return os.WriteFile(path, data, 0o644)
		}
	}
	directory := func(name string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.Mkdir(path, 0o755); err != nil {
				return err
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return inManifest(func(m *manifest) { m.Files = append(m.Files, manifestFile{Path: name, Size: info.Size()}) })(dir)
		}
	}
	for name, c := range map[string]struct {
		change func(dir string) error
		failed []string // checks, in the order of the report
	}{
		"nothing":                    {func(string) error { return nil }, nil},
		"a bundle":                   {edit("tile/entries/000", flip), []string{"manifest", "log"}},
		"a tile":                     {edit("tile/0/000", flip), []string{"manifest", "log"}},
		"no tile":                    {remove("tile/0/000"), []string{"manifest", "log"}},
		"the checkpoint":             {edit(tiles.CheckpointPath, flip), []string{"manifest", "checkpoint"}},
		"no checkpoint":              {remove(tiles.CheckpointPath), []string{"manifest", "checkpoint"}},
		"the keys":                   {edit(tiles.KeysPath, flip), []string{"manifest", "keys"}},
		"the manifest":               {edit(manifestPath, func(data []byte) []byte { return data[1:] }), []string{"manifest"}},
		"an artifact":                {edit(artifact, func([]byte) []byte { return []byte("content 8") }), []string{"artifacts"}},
		"a longer artifact":          {edit(artifact, longer), []string{"artifacts"}},
		"no artifact":                {remove(artifact), []string{"artifacts"}},
		"the size of a file":         {inManifest(func(m *manifest) { m.Files[0].Size++ }), []string{"manifest"}},
		"the size of an artifact":    {inManifest(func(m *manifest) { m.Artifacts[0].Size++ }), []string{"artifacts"}},
		"an artifact is not named":   {inManifest(func(m *manifest) { m.Artifacts = m.Artifacts[1:] }), []string{"artifacts"}},
		"other verifier keys":        {inManifest(func(m *manifest) { m.VKeys = m.VKeys[1:] }), []string{"keys"}},
		"a file below a file":        {inManifest(func(m *manifest) { m.Files[1].Path = "tile/0/000/x" }), []string{"manifest"}},
		"a name that is too long":    {inManifest(func(m *manifest) { m.Files[1].Path = "tile/" + strings.Repeat("x", 5000) }), []string{"manifest"}},
		"a directory for a file":     {directory("tile/x"), []string{"manifest"}},
		"another size of the log":    {inManifest(func(m *manifest) { m.Checkpoint.Size-- }), []string{"checkpoint"}},
		"a bundle that never ends":   {link("tile/entries/000", "/dev/zero"), []string{"files"}},
		"an artifact that never is":  {link(artifact, "/dev/zero"), []string{"files"}},
		"a manifest that never ends": {link(manifestPath, "/dev/zero"), []string{"files"}},
	} {
		dir := filepath.Join(t.TempDir(), "mirror")
		if err := errors.Join(os.CopyFS(dir, os.DirFS(whole)), c.change(dir)); err != nil {
			t.Fatal(err)
		}
		r := w.verify(dir)
		var failed []string
		for _, f := range r.Checks {
			if f.Result == witness.Failed {
				failed = append(failed, f.Check)
			}
		}
		if r.Verified != (len(c.failed) == 0) || !slices.Equal(slices.Compact(failed), c.failed) {
			t.Errorf("%s: verified %t, failed %q; %+v", name, r.Verified, failed, r.Checks)
		}
	}
}

// TestVerifyStatements: a signature that is not good is found, and one whose
// key is not known is not checked.
func TestVerifyStatements(t *testing.T) {
	w := newWorld(t)
	sign := func(issuer string, broken bool) {
		data := testlog.Must(scitt.SignStatement(w.issuer, scitt.SignOptions{Issuer: issuer, Subject: "s"}, []byte("content")))(t)
		entry := testlog.Must(scitt.ParseStatement(data))(t).Entry()
		if broken {
			entry[len(entry)-1] ^= 1
		}
		w.entries = append(w.entries, entry)
	}
	sign("https://known.example", false)
	sign("https://known.example", true)
	sign("https://stranger.example", false)
	w.add(1)
	dir := filepath.Join(t.TempDir(), "mirror")
	w.export(dir)
	o := w.options(dir)
	o.IssuerKeys = map[string]scitt.Key{"https://known.example": {Public: w.issuer.Public()}}
	r := testlog.Must(Verify(t.Context(), dir, o))(t)
	if r.Verified || r.Statements != 4 || !strings.HasPrefix(r.Error, "signatures: entry 3: ") || !strings.HasPrefix(r.Unchecked, "signatures: 1 statement of https://stranger.example") {
		t.Errorf("%+v", r)
	}
	if !slices.ContainsFunc(r.Checks, func(f witness.Finding) bool {
		return f.Check == "signatures" && f.Result == witness.NotChecked && strings.HasPrefix(f.Detail, "1 statement of https://stranger.example")
	}) {
		t.Errorf("%+v", r.Checks)
	}
}

// TestVerifyEnds: what keeps it from looking is an error, and no verdict.
func TestVerifyEnds(t *testing.T) {
	w := newWorld(t)
	w.add(10)
	dir := filepath.Join(t.TempDir(), "mirror")
	w.export(dir)
	ctx, cancel := context.WithCancel(t.Context())
	o := w.options(dir)
	o.Progress = func(string, uint64, uint64) { cancel() }
	if r, err := Verify(ctx, dir, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %+v, %v", r, err)
	}
	// What was found before stands.
	bundle := filepath.Join(dir, "tile/entries/000.p/12")
	if err := os.Truncate(bundle, 1<<40); err != nil {
		t.Fatal(err)
	}
	o.Progress = nil
	if r, err := Verify(t.Context(), dir, o); err == nil || r == nil || r.Verified || !strings.HasPrefix(r.Error, "manifest: tile/entries/000.p/12 has 1099511627776 bytes") {
		t.Errorf("a bundle that is too large: %+v, %v", r, err)
	}
	away := errors.New("away")
	o = w.options(dir)
	o.Open = func(context.Context, []string) (Opened, error) { return Opened{}, away }
	if _, err := Verify(t.Context(), dir, o); !errors.Is(err, away) {
		t.Error(err)
	}
	for _, none := range []string{w.store, filepath.Join(dir, "nowhere")} {
		if _, err := Verify(t.Context(), none, o); !errors.Is(err, ErrNoExport) {
			t.Errorf("%s: %v", none, err)
		}
	}
}
