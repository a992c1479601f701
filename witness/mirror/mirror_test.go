package mirror

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// world is a log with artifacts, whose operator does what the test wants.
type world struct {
	*testing.T
	keys    *testlog.Keys
	issuer  crypto.Signer
	files   testlog.Files
	entries [][]byte
	store   string // artifact storage
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, keys: testlog.NewKeys(t), issuer: testlog.Key(t, "EdDSA"), store: t.TempDir()}
	if err := os.Mkdir(filepath.Join(w.store, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.entries = w.keys.Begin(t, `{"version": 1}`)
	return w
}

// add registers statements about contents, of which every seventh signs a hash.
func (w *world) add(n int) {
	w.Helper()
	for range n {
		i := len(w.entries)
		content := fmt.Appendf(nil, "content %d", i)
		hash := i%7 == 0
		signed := testlog.Must(scitt.SignStatement(w.issuer, scitt.SignOptions{Subject: fmt.Sprint("s/", i), Hash: hash}, content))(w)
		w.entries = append(w.entries, testlog.Must(scitt.ParseStatement(signed))(w).Entry())
		if hash {
			w.put(filepath.Join(w.store, filepath.FromSlash(digestOf(content).Path())), content)
		}
	}
	w.files.Publish(w, w.keys, w.entries)
}

func (w *world) put(path string, content []byte) {
	w.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
		w.Fatal(err)
	}
}

func digestOf(content []byte) reader.Digest { return sha256.Sum256(content) }

// log is the log as it is now.
func (w *world) log() Log {
	w.Helper()
	files := tiles.NewLog(&w.files, w.keys.Verifiers)
	view := testlog.Must(files.Latest(w.Context()))(w)
	return Log{
		Files: files, View: view, VKeys: w.keys.VKeys,
		Artifacts: testlog.Must(reader.Open(w.store, reader.Options{}))(w),
		Extends:   view.Consistency,
	}
}

func (w *world) export(dir string) *Copied {
	w.Helper()
	return testlog.Must(Export(w.Context(), w.log(), dir, Options{}))(w)
}

// options hold an export to its own word for its keys.
func (w *world) options(dir string) VerifyOptions {
	return VerifyOptions{
		Open: func(ctx context.Context, _ []string) (out Opened, err error) {
			out.Files, out.VKeys = tiles.NewLog(tiles.Dir(dir), w.keys.Verifiers), w.keys.VKeys
			if out.Checkpoint, err = out.Files.Checkpoint(ctx); errors.Is(err, scitt.ErrCheckpoint) {
				out.Damage = err
				return out, nil
			} else if err != nil {
				return out, err
			}
			out.View, out.Damage = out.Files.At(ctx, out.Checkpoint)
			return out, nil
		},
	}
}

func (w *world) verify(dir string) *Report {
	w.Helper()
	return testlog.Must(Verify(w.Context(), dir, w.options(dir)))(w)
}

// tree is the content of a directory by path.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		out[name] = string(data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestExport: an export that grew with the log is the same as a new one, names
// what the storage does not have, and verifies.
func TestExport(t *testing.T) {
	w := newWorld(t)
	dir, fresh := filepath.Join(t.TempDir(), "grown"), filepath.Join(t.TempDir(), "fresh")
	w.add(100)
	lost := filepath.Join(w.store, filepath.FromSlash(digestOf([]byte("content 14")).Path()))
	content := testlog.Must(os.ReadFile(lost))(t)
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	first := w.export(dir)
	if first.Before != nil || len(first.Manifest.Missing) != 1 || len(first.Manifest.Artifacts) != 13 {
		t.Errorf("%+v", first.Manifest)
	}
	if r := w.verify(dir); r.Verified || r.Error != "" || r.Unchecked == "" || r.Statements != 102 || r.Artifacts != 13 {
		t.Errorf("%+v", r)
	}
	if again := w.export(dir); again.Fetched != 0 {
		t.Errorf("%d files were fetched again", again.Fetched)
	}
	w.put(lost, content)
	w.add(600)
	grown := w.export(dir)
	if grown.Before == nil || grown.Before.Size != 102 || len(grown.Manifest.Missing) != 0 {
		t.Errorf("%+v", grown)
	}
	w.export(fresh)
	got, want := tree(t, dir), tree(t, fresh)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is not as in a new export", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, and %d in a new export", len(got), len(want))
	}
	if r := w.verify(dir); !r.Verified || r.Size != 702 || r.Statements != 702 || r.Artifacts != 100 {
		t.Errorf("%+v", r)
	}
	// The directory is a log, and so is a file server that has it.
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	l := w.log()
	l.Files = tiles.NewLog(testlog.Must(tiles.Open(server.URL, client.Options{}))(t), w.keys.Verifiers)
	l.View = testlog.Must(l.Files.Latest(t.Context()))(t)
	l.Artifacts = testlog.Must(reader.Open(server.URL, reader.Options{Client: client.Options{Retries: -1}}))(t)
	second := filepath.Join(t.TempDir(), "second")
	testlog.Must(Export(t.Context(), l, second, Options{}))(t)
	if !bytes.Equal([]byte(tree(t, second)[manifestPath]), []byte(want[manifestPath])) {
		t.Error("the export of an export has another manifest")
	}
}

// TestExportRefused: what is in the directory and is something else stays.
func TestExportRefused(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.add(10)
	other.add(10)
	dir := filepath.Join(t.TempDir(), "mirror")
	w.export(dir)
	before := tree(t, dir)
	forked := errors.New("forked")
	l := w.log()
	l.Extends = func(_ context.Context, old *scitt.Checkpoint) error { return fmt.Errorf("%w at %d", forked, old.Size) }
	if _, err := Export(t.Context(), l, dir, Options{}); !errors.Is(err, forked) {
		t.Errorf("a log that does not extend it: %v", err)
	}
	if _, err := Export(t.Context(), other.log(), dir, Options{}); !errors.Is(err, tiles.ErrOtherLog) {
		t.Errorf("another log: %v", err)
	}
	for name, data := range tree(t, dir) {
		if name != copying && before[name] != data {
			t.Errorf("%s was changed", name)
		}
	}
	if _, err := Export(t.Context(), w.log(), w.store, Options{}); err == nil || !strings.Contains(err.Error(), "no export") {
		t.Errorf("a directory with something else: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Export(ctx, w.log(), dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestExportRefusedArtifacts: an artifact that the storage gives with other bytes, or
// more of them than are taken, stops nothing: it is reported and named as missing, nothing
// of it is left, and it is looked for again.
func TestExportRefusedArtifacts(t *testing.T) {
	w := newWorld(t)
	w.add(40) // at 7, 14, 21, 28 and 35
	path := func(n int) string {
		return filepath.Join(w.store, filepath.FromSlash(digestOf(fmt.Appendf(nil, "content %d", n)).Path()))
	}
	w.put(path(7), []byte("c0ntent 7"))
	w.put(path(14), bytes.Repeat([]byte("content 14"), 10))
	l := w.log()
	l.Artifacts = testlog.Must(reader.Open(w.store, reader.Options{Limits: reader.Limits{Size: 50}}))(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	out := testlog.Must(Export(t.Context(), l, dir, Options{}))(t)
	all := errors.Join(out.Refused...)
	if len(out.Refused) != 2 || !errors.Is(all, reader.ErrWrong) || !errors.Is(all, reader.ErrTooLarge) || len(out.Manifest.Missing) != 2 || len(out.Manifest.Artifacts) != 3 {
		t.Errorf("%v, %+v", all, out.Manifest)
	}
	if r := w.verify(dir); r.Verified || r.Error != "" || !strings.HasPrefix(r.Unchecked, "artifacts: 2 ") || r.Artifacts != 3 {
		t.Errorf("%+v", r)
	}
	for name := range tree(t, dir) {
		if strings.Contains(name, "partial") {
			t.Errorf("%s was left behind", name)
		}
	}
	w.put(path(7), []byte("content 7"))
	w.put(path(14), []byte("content 14"))
	if out := w.export(dir); len(out.Refused) != 0 || len(out.Manifest.Missing) != 0 || out.Fetched != 2 {
		t.Errorf("%+v", out)
	}
}

// TestExportRepairs: what is gone from an export, or not whole, is fetched again, and
// where it is not available it is not said to be there.
func TestExportRepairs(t *testing.T) {
	w := newWorld(t)
	w.add(600)
	dir := filepath.Join(t.TempDir(), "mirror")
	w.export(dir)
	want := tree(t, dir)
	artifact := digestOf([]byte("content 7"))
	for _, name := range []string{artifact.Path(), tiles.BundlePath(0, 0), tiles.TilePath(0, 1, 0), tiles.TilePath(1, 0, 2), tiles.KeysPath} {
		for _, harm := range []func(path string) error{os.Remove, func(path string) error { return os.Truncate(path, 3) }} {
			if err := harm(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
				t.Fatal(err)
			}
			out := w.export(dir)
			got := tree(t, dir)
			for name := range want {
				if got[name] != want[name] {
					t.Errorf("%s is another one", name)
				}
			}
			if out.Fetched == 0 || !w.verify(dir).Verified {
				t.Errorf("%s: fetched %d", name, out.Fetched)
			}
		}
	}
	for _, path := range []string{dir, w.store} {
		if err := os.Remove(filepath.Join(path, filepath.FromSlash(artifact.Path()))); err != nil {
			t.Fatal(err)
		}
	}
	if m := w.export(dir).Manifest; len(m.Missing) != 1 || m.Missing[0] != artifact || len(m.Artifacts) != 84 {
		t.Errorf("%d missing, %d there", len(m.Missing), len(m.Artifacts))
	}
	if r := w.verify(dir); r.Verified || r.Error != "" || !strings.HasPrefix(r.Unchecked, "artifacts: 1 ") || r.Artifacts != 84 {
		t.Errorf("%+v", r)
	}
}

// TestExportKept: what was damaged in an export and has its size is kept by the next one, which
// says of how much it looked at the size alone; it is found by Verify, and mended where that
// is asked for.
func TestExportKept(t *testing.T) {
	w := newWorld(t)
	w.add(600)
	dir := filepath.Join(t.TempDir(), "mirror")
	if out := w.export(dir); out.Kept != 0 {
		t.Errorf("a new export kept %d files", out.Kept)
	}
	want := tree(t, dir)
	for _, name := range []string{digestOf([]byte("content 7")).Path(), tiles.BundlePath(0, 0), tiles.TilePath(0, 1, 0)} {
		damaged := []byte(want[name])
		damaged[len(damaged)-1] ^= 1
		w.put(filepath.Join(dir, filepath.FromSlash(name)), damaged)
		if out := w.export(dir); out.Kept != len(out.Manifest.Files)+len(out.Manifest.Artifacts)-3 { // checkpoint and keys are written
			t.Errorf("%s: %d files were kept of %d and %d", name, out.Kept, len(out.Manifest.Files), len(out.Manifest.Artifacts))
		}
		if r := w.verify(dir); r.Error == "" {
			t.Errorf("%s: %+v", name, r)
		}
		out := testlog.Must(Export(t.Context(), w.log(), dir, Options{Repair: true}))(t)
		if out.Fetched == 0 || out.Kept != 0 || tree(t, dir)[name] != want[name] || !w.verify(dir).Verified {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

// TestExportLinks: nothing is written by way of a link that somebody put into
// the directory.
func TestExportLinks(t *testing.T) {
	w := newWorld(t)
	w.add(10)
	artifact := digestOf([]byte("content 7")).Path()
	for _, name := range []string{
		copying, manifestPath, tiles.CheckpointPath, "tile", "tile/0", "sha256", artifact,
		filepath.Join(filepath.Dir(artifact), "."+filepath.Base(artifact)+".partial"),
	} {
		dir, outside := filepath.Join(t.TempDir(), "mirror"), t.TempDir()
		w.export(dir)
		// As if interrupted: an export is still what it takes it for.
		w.put(filepath.Join(dir, copying), nil)
		victim := filepath.Join(outside, "victim")
		w.put(victim, []byte("precious"))
		target := victim
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			target = outside
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, name)), os.Symlink(target, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		if _, err := Export(t.Context(), w.log(), dir, Options{}); !errors.Is(err, plain.ErrNotPlain) {
			t.Errorf("%s: %v", name, err)
		}
		if got := tree(t, outside); len(got) != 1 || got["victim"] != "precious" {
			t.Errorf("%s: outside there is now %q", name, got)
		}
		if r := w.verify(dir); r.Verified || !strings.Contains(r.Error, "not a plain file") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
