package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// foreign is a log of other software: its entries are any bytes, it has no keys
// beside its files, and it deletes partial tiles as soon as there are wider ones.
type foreign struct {
	*testing.T
	keys  *testlog.Keys
	mu    sync.Mutex
	files map[string][]byte
	on    func(path string) error // called before each read, outside the lock
	one   sync.Mutex              // one call of on at a time
}

func newForeign(t *testing.T, size int) *foreign {
	f := &foreign{T: t, keys: testlog.NewKeysOf(t, "log.example/foreign")}
	f.grow(size)
	return f
}

func (f *foreign) grow(size int) {
	f.Helper()
	var entries [][]byte
	for i := range size {
		entries = append(entries, fmt.Appendf(nil, "entry %d", i))
	}
	files := map[string][]byte{}
	root := testlog.WriteTree(entries, func(path string, data []byte) { files[path] = data })
	files[tiles.CheckpointPath] = f.keys.Checkpoint(f, uint64(size), root)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = files
}

// Get implements [tiles.Source].
func (f *foreign) Get(ctx context.Context, path string) ([]byte, error) {
	if f.on != nil {
		f.one.Lock()
		err := f.on(path)
		f.one.Unlock()
		if err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if data, ok := f.files[path]; ok {
		return data, ctx.Err()
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}

// update brings a copy up to date, as one process would.
func (f *foreign) update(dir string) (*Copied, error) {
	f.Helper()
	c := testlog.Must(OpenCopy(f.Context(), dir))(f)
	defer c.Close()
	return f.into(c)
}

func (f *foreign) into(c *Copy) (*Copied, error) { return f.with(c, Options{}) }

func (f *foreign) with(c *Copy, o Options) (*Copied, error) {
	files := tiles.NewLog(f, f.keys.Verifiers)
	view, err := files.Latest(f.Context())
	if err != nil {
		return nil, err
	}
	return c.Update(f.Context(), Log{Files: files, View: view, Extends: view.Consistency}, o)
}

// is holds a copy to a log of a size, file by file.
func (f *foreign) is(dir string, size int) {
	f.Helper()
	want := newForeign(f.T, size)
	got := tree(f, dir)
	for path, data := range want.files {
		if path != tiles.CheckpointPath && got[path] != string(data) {
			f.Errorf("%d entries: %s is not that of the log", size, path)
		}
	}
	for path := range got {
		if want.files[path] == nil && path != copying {
			f.Errorf("%d entries: %s is left over", size, path)
		}
	}
	f.whole(dir, size)
}

// whole holds a copy to its own checkpoint.
func (f *foreign) whole(dir string, size int) {
	f.Helper()
	files := tiles.NewLog(tiles.Dir(dir), f.keys.Verifiers)
	cp := testlog.Must(files.Checkpoint(f.Context()))(f)
	view, err := files.At(f.Context(), cp)
	if err != nil || cp.Size != uint64(size) {
		f.Fatalf("a log of %d entries, and %d are wanted: %v", cp.Size, size, err)
	}
	for e, err := range view.Entries(f.Context(), 0, cp.Size) {
		if err != nil || string(e.Data) != fmt.Sprintf("entry %d", e.Index) {
			f.Fatalf("entry %d is %.80q: %v", e.Index, e.Data, err)
		}
	}
}

// TestCopy: the copy of a log of any software has its files and no others, however it
// grew: in one process, and in one after the other.
func TestCopy(t *testing.T) {
	one, dir := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "many")
	f := newForeign(t, 0)
	c := testlog.Must(OpenCopy(t.Context(), one))(t)
	defer c.Close()
	for _, size := range []int{1, 1, 255, 256, 300, 65536, 66000} {
		f.grow(size)
		testlog.Must(f.into(c))(t)
		f.is(one, size)
		if size < 65536 { // all of it again is slow
			testlog.Must(f.update(dir))(t)
			f.is(dir, size)
		}
	}
	if _, err := OpenCopy(t.Context(), one); err == nil {
		t.Error("two processes have one copy")
	}
}

// TestCopyGrowth: the log grows at each read, and deletes the partial files of its
// states before. The copy is the state that the update began with.
func TestCopyGrowth(t *testing.T) {
	f := newForeign(t, 100)
	dir := filepath.Join(t.TempDir(), "mirror")
	size := 100
	f.on = func(path string) error {
		if path != tiles.CheckpointPath && size < 900 {
			size += 7
			f.grow(size)
		}
		return nil
	}
	testlog.Must(f.update(dir))(t)
	f.whole(dir, 100)
	testlog.Must(f.update(dir))(t)
	f.on = nil
	testlog.Must(f.update(dir))(t)
	f.is(dir, size)
}

// TestCopyInterrupted: wherever it is interrupted there is the older log or the new
// one, and the next update goes on.
func TestCopyInterrupted(t *testing.T) {
	f := newForeign(t, 300)
	dir := filepath.Join(t.TempDir(), "mirror")
	testlog.Must(f.update(dir))(t)
	f.grow(1500)
	broken := errors.New("the connection broke")
	for after := 1; ; after++ {
		left := after
		f.on = func(string) error {
			if left--; left < 0 {
				return broken
			}
			return nil
		}
		_, err := f.update(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, broken) || after > 100 {
			t.Fatal(err)
		}
		f.whole(dir, 300)
	}
	f.is(dir, 1500)
}

// TestCopyLies: a log that gives wrong files leaves the copy as it was, and so does one
// that is another or forked; when its files are right again the copy goes on.
func TestCopyLies(t *testing.T) {
	f := newForeign(t, 1500)
	var dir string
	for path := range f.files {
		if path == tiles.CheckpointPath || strings.HasSuffix(path, "/000") { // of which nothing is needed again
			continue
		}
		dir = filepath.Join(t.TempDir(), "mirror") // what is right of an update that failed is kept
		f.grow(300)
		testlog.Must(f.update(dir))(t)
		f.grow(1500)
		data := f.files[path]
		lie := []byte(strings.Clone(string(data)))
		lie[len(lie)-1] ^= 1
		f.files[path] = lie
		if _, err := f.update(dir); !errors.Is(err, tiles.ErrCorrupt) && !errors.Is(err, scitt.ErrProof) {
			t.Errorf("%s: %v", path, err)
		}
		f.whole(dir, 300)
		f.files[path] = data
	}
	for name, other := range map[string]*foreign{
		"forked":  {T: t, keys: f.keys, files: map[string][]byte{}},
		"another": newForeign(t, 2000),
	} {
		if name == "forked" {
			root := testlog.WriteTree([][]byte{[]byte("x"), []byte("y")}, func(path string, data []byte) { other.files[path] = data })
			other.files[tiles.CheckpointPath] = f.keys.Checkpoint(t, 2, root)
		} else {
			other.files[tiles.BundlePath(0, 0)] = nil
			other.files[tiles.CheckpointPath] = other.keys.Checkpoint(t, 300, make([]byte, 32))
		}
		if _, err := other.update(dir); err == nil {
			t.Errorf("%s is taken", name)
		}
		f.whole(dir, 300)
	}
	testlog.Must(f.update(dir))(t)
	f.is(dir, 1500)
}

// TestCopyRepairs: what is gone is fetched again by the next process.
func TestCopyRepairs(t *testing.T) {
	f := newForeign(t, 700)
	dir := filepath.Join(t.TempDir(), "mirror")
	testlog.Must(f.update(dir))(t)
	for _, path := range []string{tiles.BundlePath(0, 0), tiles.TilePath(0, 1, 0), tiles.BundlePath(2, 188)} {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(path))); err != nil {
			t.Fatal(err)
		}
		if out := testlog.Must(f.update(dir))(t); out.Fetched != 1 {
			t.Errorf("%s: %d files were fetched", path, out.Fetched)
		}
		f.is(dir, 700)
	}
}

// TestCopyDamaged: a file that was damaged in the copy is named, as soon as it is read, and
// Repair fetches again what is wrong, the tiles besides, and nothing else.
func TestCopyDamaged(t *testing.T) {
	f := newForeign(t, 700)
	dir := filepath.Join(t.TempDir(), "mirror")
	c := testlog.Must(OpenCopy(t.Context(), dir))(t)
	defer c.Close()
	testlog.Must(f.into(c))(t)
	for path := range f.files {
		if path == tiles.CheckpointPath {
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(path))
		data := testlog.Must(os.ReadFile(file))(t)
		data[len(data)-1] ^= 1
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := f.into(c); strings.Contains(path, ".p/") && strings.HasPrefix(path, "tile/0/") || strings.HasPrefix(path, "tile/1/") {
			if !errors.Is(err, tiles.ErrCorrupt) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", path, err)
			}
		}
		out, err := f.with(c, Options{Repair: true})
		if want := uint64(4 + strings.Count(path, "entries")); err != nil || out.Fetched != want { // tiles
			t.Errorf("%s: %+v, %v", path, out, err)
		}
		f.is(dir, 700)
	}
	if out, err := f.with(c, Options{Repair: true}); err != nil || out.Fetched != 0 {
		t.Errorf("nothing is damaged: %+v, %v", out, err)
	}
}

// TestCopyKeys: a copy follows its log to new keys, when whoever opens the log does.
func TestCopyKeys(t *testing.T) {
	f := newForeign(t, 300)
	dir := filepath.Join(t.TempDir(), "mirror")
	testlog.Must(f.update(dir))(t)
	f.keys = testlog.NewKeysOf(t, "log.example/foreign")
	f.grow(400)
	testlog.Must(f.update(dir))(t)
	f.is(dir, 400)
}

// TestCopyOfExport: a mirror is made into an export, and an export into no mirror.
func TestCopyOfExport(t *testing.T) {
	w := newWorld(t)
	w.add(10)
	dir := filepath.Join(t.TempDir(), "mirror")
	update := func() error {
		c := testlog.Must(OpenCopy(t.Context(), dir))(t)
		defer c.Close()
		_, err := c.Update(t.Context(), w.log(), Options{})
		return err
	}
	if err := update(); err != nil {
		t.Fatal(err)
	}
	w.add(10)
	w.export(dir)
	if r := w.verify(dir); !r.Verified || r.Artifacts != 3 {
		t.Errorf("%+v", r)
	}
	if err := update(); err == nil || !strings.Contains(err.Error(), "is an export") {
		t.Errorf("%v", err)
	}
}
