package storage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// try appends an entry, and gives the error of either step.
func (s *service) try(content string) error {
	s.t.Helper()
	st := testlog.Must(scitt.ParseStatement(testlog.Statement(s.t, testlog.Key(s.t, "ES256"), "asset", []byte(content))))(s.t)
	wait, err := s.log.Append(s.t.Context(), st.Entry())
	if err == nil {
		_, _, err = wait(s.t.Context())
	}
	return err
}

// fail has the engine's lock file fail, also for root.
func (s *service) fail() (mend func()) {
	s.t.Helper()
	lock := s.dir.Private("tessera", ".state", "treeState.lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(lock); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestDiskFails: the engine, which would panic, is given nothing while its disk fails.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	s := newService(t)
	if err := errors.Join(s.try("before"), s.log.Check(t.Context())); err != nil {
		t.Fatal(err)
	}
	mend := s.fail()
	for range 2 {
		if err := s.try("meanwhile"); !errors.Is(err, scitt.ErrUnavailable) {
			t.Errorf("the disk fails: %v", err)
		}
	}
	mend()
	if s.log.Check(t.Context()) == nil {
		t.Error("the log is well just after a batch failed")
	}
	if err := errors.Join(s.try("afterwards"), s.log.Check(t.Context())); err != nil {
		t.Errorf("with the disk in order: %v", err)
	}
	away := filepath.Join(t.TempDir(), "tile")
	if err := os.Rename(s.dir.Public("tile"), away); err != nil {
		t.Fatal(err)
	}
	if s.log.Check(t.Context()) == nil {
		t.Error("the log is well without its tiles")
	}
	if err := os.Rename(away, s.dir.Public("tile")); err != nil {
		t.Fatal(err)
	}
}

// TestReadOnly: a log whose disk fails at the start is served, and takes nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key := testlog.Key(t, "ES256")
	statement := testlog.Statement(t, key, "asset", []byte("before"))
	s.add(statement)
	s.close()
	mend := s.fail()
	before := files(t, s.dir.Public())
	s.open()
	if s.log.ReadOnly() == nil || s.log.Check(t.Context()) == nil || s.log.PublishedSize() != 1 {
		t.Errorf("read only: %v, %d entries", s.log.ReadOnly(), s.log.PublishedSize())
	}
	if err := s.try("meanwhile"); !errors.Is(err, scitt.ErrUnavailable) {
		t.Errorf("a statement: %v", err)
	}
	if err := os.Remove(s.dir.Private("index.db")); err != nil { // also an index that is built anew
		t.Fatal(err)
	}
	s.close()
	s.open()
	if err := s.index.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.index.Lookup(t.Context(), testlog.Must(scitt.ParseStatement(statement))(t).ID()); !ok {
		t.Errorf("the entry is not found: %v", err)
	}
	s.close()
	if after := files(t, s.dir.Public()); !maps.Equal(before, after) {
		t.Error("public files changed")
	}
	mend()
	s.open()
	if err := errors.Join(s.log.ReadOnly(), s.try("afterwards")); err != nil {
		t.Error(err)
	}
	s.close()
	// A log that is not there yet cannot be read either.
	s.path = t.TempDir()
	s.dir = testlog.Must(storage.OpenDir(s.path))(t)
	if err := errors.Join(os.MkdirAll(s.dir.Private("tessera", ".state", "treeState.lock"), 0o700), s.dir.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.tryOpen(); err == nil {
		t.Error("a new log was opened on a disk that cannot be written")
	}
	if err := errors.Join(s.index.Close(), s.dir.Close()); err != nil {
		t.Error(err)
	}
	s.log = nil
}

// TestDamagedEdge: what the engine would build upon is looked at first.
func TestDamagedEdge(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(data []byte) []byte{
		"another byte": func(data []byte) []byte { data[len(data)-1] ^= 1; return data },
		"cut off":      func(data []byte) []byte { return data[:len(data)-1] },
		"gone":         func([]byte) []byte { return nil },
		"one more":     func(data []byte) []byte { return append(append(data, 0, 30), make([]byte, 30)...) }, // an entry, or a hash
	} {
		for _, path := range []string{tiles.BundlePath(0, 3), tiles.TilePath(0, 0, 3)} {
			t.Run(name+" "+filepath.Dir(path), func(t *testing.T) {
				s := newService(t)
				for i := range 3 {
					if err := s.try(fmt.Sprint(i)); err != nil {
						t.Fatal(err)
					}
				}
				file := s.dir.Public(path)
				good := testlog.Must(os.ReadFile(file))(t)
				write := func(data []byte) {
					t.Helper()
					err := os.Remove(file)
					if data != nil {
						err = os.WriteFile(file, data, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				write(damage(slices.Clone(good)))
				if err := s.try("behind it"); !errors.Is(err, scitt.ErrUnavailable) || s.log.Check(t.Context()) == nil {
					t.Errorf("an entry behind damage: %v", err)
				}
				if size := testlog.Must(s.log.IntegratedSize(t.Context()))(t); size != 3 {
					t.Errorf("%d entries are stored", size)
				}
				if err := os.WriteFile(file, good, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(s.try("mended"), s.log.Check(t.Context())); err != nil {
					t.Errorf("mended: %v", err)
				}
			})
		}
	}
}

// TestDamagedAtOpen: a log whose newest bundle is damaged is not opened.
func TestDamagedAtOpen(t *testing.T) {
	t.Parallel()
	s := newService(t)
	if err := s.try("1"); err != nil {
		t.Fatal(err)
	}
	s.close()
	file := s.dir.Public(tiles.BundlePath(0, 1))
	data := testlog.Must(os.ReadFile(file))(t)
	data[9] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.tryOpen(); !errors.Is(err, tiles.ErrCorrupt) {
		t.Errorf("a damaged log was opened: %v", err)
	}
	if err := errors.Join(s.index.Close(), s.dir.Close()); err != nil {
		t.Error(err)
	}
	s.log = nil
}

// TestDamagedLongAgo: Check comes upon damage anywhere, in time.
func TestDamagedLongAgo(t *testing.T) {
	t.Parallel()
	s := newService(t)
	add := s.log.Run()
	for i := range 600 {
		st := testlog.Must(scitt.ParseStatement(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", fmt.Append(nil, i))))(t)
		wait := testlog.Must(add(t.Context(), st.Entry()))(t)
		if i == 599 {
			index, _, err := wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			testlog.Must(s.log.Await(t.Context(), index))(t)
		}
	}
	for range 20 {
		if err := s.log.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(s.dir.Public(tiles.BundlePath(0, 0))); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if s.log.Check(t.Context()) != nil {
			return
		}
	}
	t.Error("a bundle is gone, and nothing is wrong")
}

// TestClean: what interrupted writes left is removed at the start, and nothing else.
func TestClean(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for i := range 3 {
		if err := s.try(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	before := files(t, s.dir.Public())
	left := []string{
		s.dir.Public(".checkpoint.123"), s.dir.Public(".well-known", ".scitt-keys.4"), s.dir.Public("tile", ".trial.5"), s.dir.Public("tile", "entries", "0001804289383"),
		s.dir.Public("tile", "entries", "000.p", "4846930886"), s.dir.Public("tile", "0", "000.p", "41681692777"), s.dir.Public("tile", "1", "0001714636915"),
		s.dir.Private(".service-key.pem.77"), s.dir.Private("tessera", "checkpoint1957747793"), s.dir.Private("tessera", ".state", "treeState424238335"),
	}
	for _, path := range left {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	s.close()
	if after := files(t, s.dir.Public()); !maps.Equal(before, after) {
		t.Errorf("public/ had %d files, and has %v", len(before), slices.Sorted(maps.Keys(after)))
	}
	for _, path := range left {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}
