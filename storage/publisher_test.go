package storage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/tiles"
)

func TestOneProcess(t *testing.T) {
	s := newService(t)
	if _, err := storage.OpenDir(s.path); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("a second holder of the directory: %v", err)
	}
}

// TestPublicDirectory: a file server may show all of public/, and there is
// nothing in it that is not for everybody.
func TestPublicDirectory(t *testing.T) {
	s := newService(t)
	s.add(testlog.Statement(t, testlog.Key(t, "ES256"), "asset", nil))
	err := filepath.WalkDir(s.dir.Public(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := testlog.Must(filepath.Rel(s.dir.Public(), path))(t)
		_, _, _, isTile := tiles.ParseTilePath(filepath.ToSlash(rel))
		if !d.IsDir() && rel != "checkpoint" && !isTile {
			t.Errorf("public/%s is there", rel)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			t.Errorf("public/%s is a symbolic link, which mirrors would not follow", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	info := testlog.Must(os.Stat(s.dir.Private()))(t)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("private/ has mode %v", info.Mode().Perm())
	}
}

// TestPublisherRefusesFork: a checkpoint that does not extend the public one
// never becomes public, whoever signed it.
func TestPublisherRefusesFork(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key := testlog.Key(t, "ES256")
	s.add(testlog.Statement(t, key, "asset", []byte("1")))
	s.add(testlog.Statement(t, key, "asset", []byte("2")))
	public := testlog.Must(os.ReadFile(s.dir.Public("checkpoint")))(t)
	s.close()

	// Another log by the same keys, as a restored backup would be.
	other := &service{t: t, path: testwait.Dir(t), keys: s.keys}
	other.open()
	other.add(testlog.Statement(t, key, "asset", []byte("3")))
	other.close()
	for _, name := range []string{"tile", "checkpoint"} {
		if err := os.RemoveAll(other.dir.Public(name)); err != nil {
			t.Fatal(err)
		}
	}
	// Its public side is now the first log's.
	if err := os.CopyFS(other.dir.Public(), os.DirFS(s.dir.Public())); err != nil {
		t.Fatal(err)
	}
	if err := other.tryOpen(); !errors.Is(err, storage.ErrFork) {
		t.Errorf("a fork was opened: %v", err)
	}
	if err := errors.Join(other.index.Close(), other.dir.Close()); err != nil {
		t.Error(err)
	}
	if now := testlog.Must(os.ReadFile(s.dir.Public("checkpoint")))(t); string(now) != string(public) {
		t.Error("the public checkpoint changed")
	}
	if now := testlog.Must(os.ReadFile(other.dir.Public("checkpoint")))(t); string(now) != string(public) {
		t.Error("a fork became public")
	}
}

// TestStateLost: without Tessera's state, or with an older one, the log does
// not go on, and nothing that is public changes.
func TestStateLost(t *testing.T) {
	t.Parallel()
	key := testlog.Key(t, "ES256")
	for name, lose := range map[string]func(t *testing.T, s *service, older string){
		"all": func(t *testing.T, s *service, _ string) {
			if err := os.RemoveAll(s.dir.Private("tessera")); err != nil {
				t.Fatal(err)
			}
		},
		"its tree": func(t *testing.T, s *service, _ string) {
			if err := os.Remove(s.dir.Private("tessera", ".state", "treeState")); err != nil {
				t.Fatal(err)
			}
		},
		"the newest": func(t *testing.T, s *service, older string) {
			for _, file := range []string{".state/treeState", "checkpoint"} {
				data := testlog.Must(os.ReadFile(filepath.Join(older, file)))(t)
				if err := os.WriteFile(s.dir.Private("tessera", file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			for i := range 3 {
				s.add(testlog.Statement(t, key, "asset", fmt.Append(nil, i)))
			}
			s.close()
			older := t.TempDir()
			if err := os.CopyFS(filepath.Join(older, ".state"), os.DirFS(s.dir.Private("tessera", ".state"))); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(older, "checkpoint"), testlog.Must(os.ReadFile(s.dir.Private("tessera", "checkpoint")))(t), 0o600); err != nil {
				t.Fatal(err)
			}
			s.open()
			for i := range 3 {
				s.add(testlog.Statement(t, key, "asset", fmt.Append(nil, "later", i)))
			}
			s.close()
			before := files(t, s.dir.Public())
			lose(t, s, older)
			for range 2 { // what the first try leaves is no help to the second
				if err := s.tryOpen(); !errors.Is(err, storage.ErrFork) {
					t.Fatalf("the log was opened: %v", err)
				}
				if err := errors.Join(s.index.Close(), s.dir.Close()); err != nil {
					t.Error(err)
				}
			}
			if after := files(t, s.dir.Public()); !maps.Equal(before, after) {
				t.Error("public files changed")
			}
			s.log = nil
		})
	}
}

// files are the contents of a directory by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPushback(t *testing.T) {
	t.Parallel()
	s := &service{t: t, path: testwait.Dir(t), keys: testlog.NewKeys(t)}
	s.dir = testlog.Must(storage.OpenDir(s.path))(t)
	s.index, _ = index.Open(t.Context(), s.dir.Private("index.db"), nil, nil)
	o := teststorage.Options(s.keys)
	o.Antispam, o.Pushback, o.BatchMaxAge = s.index, 2, time.Hour
	s.log = testlog.Must(storage.Open(t.Context(), posix.New(s.dir, o.Logger), o))(t)
	key := testlog.Key(t, "ES256")
	var last error
	for i := range 3 {
		_, last = s.log.Append(t.Context(), testlog.Must(scitt.ParseStatement(testlog.Statement(t, key, "asset", []byte{byte(i)})))(t).Entry())
	}
	if !errors.Is(last, scitt.ErrBusy) || !strings.Contains(last.Error(), "2 entries wait") {
		t.Errorf("the third entry beyond a pushback of 2: %v", last)
	}
	p := scitt.ProblemOf(last)
	if p == nil || p.Status != 503 || p.RetryAfter == 0 {
		t.Errorf("pushback is answered as %+v", p)
	}
	if err := errors.Join(s.index.Close(), s.dir.Close()); err != nil {
		t.Error(err)
	}
}
