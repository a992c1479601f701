package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// pattern is n bytes that differ from chunk to chunk.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func mustOpenDir(t *testing.T, root string, opts Options) *dirStorage {
	t.Helper()
	d, err := OpenDir(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d.(*dirStorage)
}

func mustPut(t *testing.T, d *dirStorage, b []byte) Digest {
	t.Helper()
	info, created, err := d.Put(t.Context(), bytes.NewReader(b), Want{})
	if err != nil || !created {
		t.Fatalf("Put: created %v, %v", created, err)
	}
	return info.Digest
}

func readAll(t *testing.T, d *dirStorage, digest Digest) ([]byte, error) {
	t.Helper()
	r, _, err := d.Open(t.Context(), digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// files are the regular files under dir, relative to it.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// empty is that nothing was left behind.
func empty(t *testing.T, d *dirStorage) {
	t.Helper()
	if left := files(t, d.tmp()); len(left) > 0 {
		t.Errorf("left in tmp: %q", left)
	}
	if stored := files(t, filepath.Join(d.root, "sha256")); len(stored) > 0 {
		t.Errorf("stored: %q", stored)
	}
	if d.Used() != 0 {
		t.Errorf("%d bytes counted as used", d.Used())
	}
}

func TestDirLayout(t *testing.T) {
	d := mustOpenDir(t, filepath.Join(t.TempDir(), "made", "on", "demand"), Options{})
	mustPut(t, d, []byte("hello\n"))
	want := []string{"lock", "sha256/58/91/5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}
	if got := files(t, d.root); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestDirReopen(t *testing.T) {
	root := t.TempDir()
	d := mustOpenDir(t, root, Options{})
	digest := mustPut(t, d, pattern(1000))
	if _, err := OpenDir(root, Options{}); err == nil {
		t.Fatal("opened twice")
	}
	d.Close()

	// An upload cut off while writing, one cut off between its name and its end,
	// and files that are not of the store.
	for _, err := range []error{
		os.WriteFile(filepath.Join(d.tmp(), "upload-1"), pattern(500), 0o600),
		os.Link(d.path(digest), filepath.Join(d.tmp(), "upload-2")),
		os.WriteFile(filepath.Join(root, "sha256", "README"), pattern(500), 0o600),
		os.WriteFile(filepath.Join(root, "sha256", digest.String()), pattern(500), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d = mustOpenDir(t, root, Options{})
	if left := files(t, d.tmp()); len(left) > 0 {
		t.Errorf("left in tmp: %q", left)
	}
	if b, err := readAll(t, d, digest); err != nil || !bytes.Equal(b, pattern(1000)) {
		t.Errorf("stored before: %d bytes, %v", len(b), err)
	}
	if d.Used() != 1000 {
		t.Errorf("%d bytes used, want 1000", d.Used())
	}
}

func TestOpenDirFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(file, "below")} {
		if _, err := OpenDir(root, Options{}); err == nil {
			t.Errorf("OpenDir(%s) did not fail", root)
		}
	}
}

func TestMaxSize(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{MaxSize: 100_000})
	for _, want := range []Want{{}, {Size: 100_001}} {
		if _, _, err := d.Put(t.Context(), bytes.NewReader(pattern(100_001)), want); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Put: %v, want ErrTooLarge", err)
		}
	}
	unread := readerFunc(func([]byte) (int, error) {
		t.Error("read although the announced size is over the limit")
		return 0, io.EOF
	})
	if _, _, err := d.Put(t.Context(), unread, Want{Size: 100_001}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Put: %v, want ErrTooLarge", err)
	}
	empty(t, d)
	mustPut(t, d, pattern(100_000))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestQuota(t *testing.T) {
	root := t.TempDir()
	d := mustOpenDir(t, root, Options{Quota: 100_000})
	first := mustPut(t, d, pattern(60_000))
	for _, want := range []Want{{}, {Size: 40_001}} {
		if _, _, err := d.Put(t.Context(), bytes.NewReader(pattern(40_001)), want); !errors.Is(err, ErrFull) {
			t.Errorf("Put: %v, want ErrFull", err)
		}
	}
	if d.Used() != 60_000 {
		t.Errorf("%d bytes used, want 60000", d.Used())
	}
	// The same bytes need no room if they are announced.
	if _, created, err := d.Put(t.Context(), bytes.NewReader(pattern(60_000)), Want{Digest: &first}); err != nil || created {
		t.Errorf("the same again: created %v, %v", created, err)
	}
	d.Close()
	d = mustOpenDir(t, root, Options{Quota: 100_000})
	mustPut(t, d, pattern(40_000))
	if _, _, err := d.Put(t.Context(), strings.NewReader("x"), Want{}); !errors.Is(err, ErrFull) {
		t.Errorf("Put: %v, want ErrFull", err)
	}
	if d.Used() != 100_000 {
		t.Errorf("%d bytes used, want 100000", d.Used())
	}
}

// TestQuotaRace has uploads for twice the quota at the same time.
func TestQuotaRace(t *testing.T) {
	const size, quota = 50_000, 500_000
	d := mustOpenDir(t, t.TempDir(), Options{Quota: quota})
	var stored atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			b := pattern(size)
			b[0], b[1] = byte(i), 0xff
			look := readerFunc(func(p []byte) (int, error) {
				if used := d.Used(); used > quota {
					t.Errorf("%d bytes used", used)
				}
				return 0, io.EOF
			})
			_, _, err := d.Put(t.Context(), io.MultiReader(bytes.NewReader(b[:size/2]), bytes.NewReader(b[size/2:]), look), Want{})
			switch {
			case err == nil:
				stored.Add(size)
			case !errors.Is(err, ErrFull):
				t.Errorf("Put: %v, want ErrFull", err)
			}
		})
	}
	wg.Wait()
	if d.Used() != stored.Load() || stored.Load() > quota || stored.Load() == 0 {
		t.Errorf("%d bytes used, %d stored", d.Used(), stored.Load())
	}
	// Nothing that was refused kept its reservation.
	for i := byte(0); d.Used() <= quota-size; i++ {
		b := pattern(size)
		b[0], b[1] = i, 0xfe
		mustPut(t, d, b)
	}
}

// faultyFile fails where asked, after that many good bytes for writing.
type faultyFile struct {
	tempFile
	good               int
	write, sync, close error
	onSync             func()
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.write == nil || len(p) <= f.good {
		f.good -= len(p)
		return f.tempFile.Write(p)
	}
	n, err := f.tempFile.Write(p[:f.good])
	return n, errors.Join(err, f.write)
}

func (f *faultyFile) Sync() error {
	if f.onSync != nil {
		f.onSync()
	}
	return errors.Join(f.tempFile.Sync(), f.sync)
}

func (f *faultyFile) Close() error { return errors.Join(f.tempFile.Close(), f.close) }

func TestDiskFaults(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	overQuota := &fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}
	broken := &fs.PathError{Op: "write", Path: "x", Err: syscall.EIO}
	for name, c := range map[string]struct {
		create error
		file   faultyFile
		want   error
	}{
		"full at create":    {create: full, want: ErrFull},
		"full at once":      {file: faultyFile{write: full}, want: ErrFull},
		"full later":        {file: faultyFile{write: full, good: 100_000}, want: ErrFull},
		"full for the user": {file: faultyFile{write: overQuota, good: 1000}, want: ErrFull},
		"full at sync":      {file: faultyFile{sync: full}, want: ErrFull},
		"full at close":     {file: faultyFile{close: full}, want: ErrFull},
		"broken":            {file: faultyFile{write: broken, good: 100_000}, want: syscall.EIO},
		"broken at sync":    {file: faultyFile{sync: broken}, want: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustOpenDir(t, t.TempDir(), Options{Quota: 1 << 20})
			create := d.create
			d.create = func(dir string) (tempFile, error) {
				if c.create != nil {
					return nil, c.create
				}
				f, err := create(dir)
				c.file.tempFile = f
				return &c.file, err
			}
			if _, created, err := d.Put(t.Context(), bytes.NewReader(pattern(300_000)), Want{}); !errors.Is(err, c.want) || created {
				t.Errorf("Put: created %v, %v, want %v", created, err, c.want)
			}
			empty(t, d)
			d.create = create
			mustPut(t, d, pattern(300_000))
		})
	}
}

// TestSyncedBeforeNamed is that no crash can show a name without its bytes.
func TestSyncedBeforeNamed(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	b := pattern(100_000)
	digest := Digest(sha256.Sum256(b))
	create, synced := d.create, false
	d.create = func(dir string) (tempFile, error) {
		f, err := create(dir)
		return &faultyFile{tempFile: f, onSync: func() {
			synced = true
			if _, err := d.Stat(context.Background(), digest); !errors.Is(err, ErrNotFound) {
				t.Errorf("while syncing: %v, want ErrNotFound", err)
			}
			if fi, err := os.Stat(f.Name()); err != nil || fi.Size() != int64(len(b)) {
				t.Errorf("synced before everything was written: %v, %v", fi, err)
			}
		}}, err
	}
	mustPut(t, d, b)
	if !synced {
		t.Error("not synced")
	}
}

func TestNameTaken(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	b := []byte("where a link leads nowhere")
	path := d.path(sha256.Sum256(b))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink("nowhere", path)); err != nil {
		t.Fatal(err)
	}
	if _, created, err := d.Put(t.Context(), bytes.NewReader(b), Want{}); err == nil || created {
		t.Errorf("Put: created %v, %v", created, err)
	}
	if left := files(t, d.tmp()); len(left) > 0 || d.Used() != 0 {
		t.Errorf("left in tmp: %q, %d bytes used", left, d.Used())
	}
}
