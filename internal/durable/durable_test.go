package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
)

// TestWrite: a file is replaced as a whole, or stays as it was, and nothing is
// left beside it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	check := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("the file is %q, %v; want %q", got, err, want)
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
			t.Errorf("the directory has %v, %v", all, err)
		}
	}
	for _, content := range []string{"first", "second"} {
		if err := WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		check(content)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	stop := errors.New("stop")
	err := Write(path, 0o600, func(w io.Writer) error {
		if _, err := io.WriteString(w, "third"); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("an interrupted write: %v", err)
	}
	check("second")
	if err := WriteFile(filepath.Join(dir, "no", "such"), nil, 0o600); err == nil {
		t.Error("a file was written into a directory that is not there")
	}
}

// TestReplace: the directory of a file is made, for those who may read the file,
// and the same content is not written again.
func TestReplace(t *testing.T) {
	for mode, directory := range map[os.FileMode]os.FileMode{0o600: 0o700, 0o644: 0o755} {
		path := filepath.Join(t.TempDir(), "new", "file")
		for _, step := range []struct {
			content string
			want    bool
		}{{"first", true}, {"first", false}, {"second", true}} {
			before, _ := os.Stat(path)
			written, err := Replace(path, []byte(step.content), mode)
			if err != nil || written != step.want {
				t.Errorf("%q: written %v, %v", step.content, written, err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != step.content {
				t.Errorf("the file is %q, %v; want %q", got, err, step.content)
			}
			if after, err := os.Stat(path); err != nil || before != nil && os.SameFile(before, after) == step.want || after.Mode() != mode {
				t.Errorf("%q: mode %v, another file %v, %v", step.content, after.Mode(), step.want, err)
			}
		}
		like := filepath.Join(filepath.Dir(path), "like") // less what the umask takes
		if err := os.Mkdir(like, directory); err != nil {
			t.Fatal(err)
		}
		want, err := os.Stat(like)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode() != want.Mode() {
			t.Errorf("the directory has mode %v, %v; want %v", info.Mode(), err, want.Mode())
		}
		if written, err := Replace(filepath.Join(path, "below"), nil, mode); err == nil || written {
			t.Errorf("a file below a file: written %v, %v", written, err)
		}
	}
}

// TestClean: what Write left is removed, and nothing else.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"file", "file.123", ".hidden", ".copying", ".file.123", ".a.b.0", ".file.12.partial"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, ".dir.1"), 0o700), Clean(dir, time.Hour), Clean(filepath.Join(dir, "no such"), 0)); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, want := range []struct {
		age   time.Duration
		files int
	}{{time.Hour, 8}, {time.Hour, 7}, {0, 6}} { // the writers of the first may be at work
		if err := Clean(dir, want.age); err != nil {
			t.Fatal(err)
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) != want.files {
			t.Errorf("the directory has %v, %v", all, err)
		}
		if err := os.Chtimes(filepath.Join(dir, ".a.b.0"), old, old); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// TestHold: of a directory that cannot be written the file is held as well.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, readOnly, err := Hold(path)
	if err != nil || readOnly != nil {
		t.Fatal(readOnly, err)
	}
	if _, _, err := Hold(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second holder: %v", err)
	}
	f.Close()
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	f, readOnly, err = Hold(path)
	if err != nil || (readOnly == nil) != (os.Getuid() == 0) {
		t.Fatalf("a file that may not be written: %v, %v", readOnly, err)
	}
	f.Close()
}

// TestLock: one holder at a time.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first, second := open(), open()
	if err := Lock(first); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := Lock(second); !errors.Is(err, ErrLocked) {
		t.Errorf("a second holder: %v", err)
	}
	first.Close()
	if err := Lock(second); err != nil {
		t.Errorf("after the first let go: %v", err)
	}
}

func TestReadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.Symlink("/dev/zero", file); err != nil {
		t.Skip(err)
	}
	if _, err := ReadFile(file); !errors.Is(err, plain.ErrNotPlain) {
		t.Errorf("a device: %v", err)
	}
	if err := WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(file); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
}
