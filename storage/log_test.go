package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/tiles"
)

// service is a log with its index, as a process holds them.
type service struct {
	t     testing.TB
	path  string
	keys  *testlog.Keys
	dir   *storage.Dir
	index *index.Index
	log   *storage.Log
}

func newService(t testing.TB) *service {
	t.Helper()
	s := &service{t: t, path: t.TempDir(), keys: testlog.NewKeys(t)}
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *service) open() {
	s.t.Helper()
	if err := s.tryOpen(); err != nil {
		s.t.Fatal(err)
	}
	size := testlog.Must(s.log.IntegratedSize(s.t.Context()))(s.t)
	if err := s.index.Await(s.t.Context(), size); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) tryOpen() (err error) {
	if s.dir, err = storage.OpenDir(s.path); err != nil {
		return err
	}
	if s.index, err = index.Open(s.t.Context(), s.dir.Private("index.db"), nil, nil); err != nil {
		return err
	}
	s.keys.NewTree(s.t)
	o := s.keys.Options()
	o.Antispam = s.index
	s.log, err = storage.Open(s.t.Context(), posix.New(s.dir, o.Logger), o)
	return err
}

// close is for a log that is open; it may be closed already.
func (s *service) close() {
	if s.log == nil {
		return
	}
	if err := errors.Join(s.log.Close(context.Background()), s.index.Close(), s.dir.Close()); err != nil {
		s.t.Error(err)
	}
	s.log = nil
}

// add registers a statement and gives its receipt.
func (s *service) add(statement []byte) (uint64, bool, []byte) {
	s.t.Helper()
	st := testlog.Must(scitt.ParseStatement(statement))(s.t)
	wait := testlog.Must(s.log.Append(s.t.Context(), st.Entry()))(s.t)
	i, duplicate, err := wait(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	view := testlog.Must(s.log.Await(s.t.Context(), i))(s.t)
	return i, duplicate, testlog.Must(view.Receipt(s.t.Context(), i, scitt.LeafHash(st.Entry())))(s.t)
}

func (s *service) checker() *testlog.Checker {
	return testlog.NewChecker(s.t, s.dir.Public(), s.keys.VKeys, s.keys.KeySet(s.t))
}

func TestLogAcrossRestarts(t *testing.T) {
	s := newService(t)
	key := testlog.Key(t, "ES256")
	receipts := map[string][]byte{}
	checker := s.checker()
	for round := range 3 {
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range 300 {
			group.Go(func() {
				statement := testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%d %d", round, i))
				_, duplicate, receipt := s.add(statement)
				if duplicate {
					t.Error("a new entry is called a duplicate")
				}
				mu.Lock()
				defer mu.Unlock()
				receipts[string(statement)] = receipt
			})
		}
		group.Wait()
		if made := s.keys.Signatures(); made >= 300 {
			t.Errorf("%d signatures for 300 receipts: one for each checkpoint is enough", made)
		}
		checker.Check(t, receipts)
		s.close()
		s.open()
	}
	if got := s.log.PublishedSize(); got != 900 {
		t.Errorf("the log has %d entries, want 900", got)
	}
}

// TestRuns: entries of a run are in the log in their order, among others that
// come at the same time, and a closed log has published all of them.
func TestRuns(t *testing.T) {
	s := newService(t)
	key := testlog.Key(t, "ES256")
	receipts := map[string][]byte{}
	checker := s.checker()
	var mu sync.Mutex
	var group sync.WaitGroup
	for run := range 3 {
		group.Go(func() {
			add := s.log.Run()
			var waits []func(context.Context) (uint64, bool, error)
			for i := range 1100 { // more than a batch
				st := testlog.Must(scitt.ParseStatement(testlog.Statement(t, key, "asset", fmt.Appendf(nil, "run %d %d", run, i))))(t)
				waits = append(waits, testlog.Must(add(t.Context(), st.Entry()))(t))
				if i%100 == 50 { // the same again
					waits = append(waits, testlog.Must(add(t.Context(), st.Entry()))(t))
				}
			}
			last, twice := uint64(0), 0
			for i, wait := range waits {
				index, duplicate, err := wait(t.Context())
				if err != nil || (index <= last && i > 0 && !duplicate) || duplicate && index != last {
					t.Errorf("run %d: entry %d is at %d (%v) after one at %d: %v", run, i, index, duplicate, last, err)
				}
				if duplicate {
					twice++
				}
				last = index
			}
			if twice != 11 {
				t.Errorf("run %d: %d duplicates", run, twice)
			}
		})
	}
	for i := range 100 {
		group.Go(func() {
			statement := testlog.Statement(t, key, "asset", fmt.Append(nil, i))
			_, _, receipt := s.add(statement)
			mu.Lock()
			defer mu.Unlock()
			receipts[string(statement)] = receipt
		})
	}
	group.Wait()
	s.close()
	if view := checker.Check(t, receipts); view.Checkpoint.Size != 3400 {
		t.Errorf("the closed log has published %d entries, want 3400", view.Checkpoint.Size)
	}
}

func TestDuplicates(t *testing.T) {
	s := newService(t)
	key := testlog.Key(t, "ES256")
	s.add(testlog.Statement(t, key, "other", nil))
	statement := testlog.Statement(t, key, "asset", []byte("once"))

	// The same at once.
	var group sync.WaitGroup
	var mu sync.Mutex
	places := map[uint64]int{}
	for range 50 {
		group.Go(func() {
			i, _, _ := s.add(statement)
			mu.Lock()
			defer mu.Unlock()
			places[i]++
		})
	}
	group.Wait()
	if len(places) != 1 || places[1] != 50 {
		t.Errorf("one statement sent 50 times has the places %v", places)
	}
	// And again after a restart, with the index and without it.
	for _, remove := range []bool{false, true} {
		s.close()
		if remove {
			removeIndex(t, s)
		}
		s.open()
		if err := s.index.Await(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if i, duplicate, _ := s.add(statement); i != 1 || !duplicate {
			t.Errorf("index removed %v: place %d, duplicate %v", remove, i, duplicate)
		}
	}
	s.checker().Check(t, nil)
}

// TestTwins: of two signatures of one content at once, in one run, one after
// the other and after a restart, the log takes the first; the other one is a
// conflict and not a duplicate.
func TestTwins(t *testing.T) {
	s := newService(t)
	key := testlog.Key(t, "ES256")
	s.add(testlog.Statement(t, key, "other", nil))
	append1 := func(add func(context.Context, []byte) (func(context.Context) (uint64, bool, error), error), data []byte) func() error {
		wait, err := add(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		return func() error { _, _, err := wait(t.Context()); return err }
	}
	var first, twin []byte
	for i := range 30 {
		first = testlog.Statement(t, key, "asset", fmt.Append(nil, i))
		twin = testlog.Must(vectors.Twin(key, first))(t)
		add := s.log.Append
		if i%2 == 1 {
			add = s.log.Run()
		}
		a, b, c := append1(add, first), append1(add, twin), append1(add, first)
		if err := a(); err != nil {
			t.Fatal(err)
		}
		if err := b(); !errors.Is(err, scitt.ErrRegistered) || errors.Is(err, scitt.ErrUnavailable) {
			t.Errorf("the other signature: %v", err)
		}
		if err := c(); err != nil {
			t.Errorf("the same bytes: %v", err)
		}
		if err := append1(add, twin)(); !errors.Is(err, scitt.ErrRegistered) {
			t.Errorf("the other signature, later: %v", err)
		}
	}
	s.close()
	s.open()
	if err := s.index.Await(t.Context(), 31); err != nil {
		t.Fatal(err)
	}
	if err := append1(s.log.Append, twin)(); !errors.Is(err, scitt.ErrRegistered) {
		t.Errorf("after a restart: %v", err)
	}
	if view := s.checker().Check(t, nil); view.Checkpoint.Size != 31 {
		t.Errorf("the log has %d entries", view.Checkpoint.Size)
	}
}

func removeIndex(t *testing.T, s *service) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(s.dir.Private("index.db" + suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

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
	s := newService(t)
	key := testlog.Key(t, "ES256")
	s.add(testlog.Statement(t, key, "asset", []byte("1")))
	s.add(testlog.Statement(t, key, "asset", []byte("2")))
	public := testlog.Must(os.ReadFile(s.dir.Public("checkpoint")))(t)
	s.close()

	// Another log by the same keys, as a restored backup would be.
	other := &service{t: t, path: t.TempDir(), keys: s.keys}
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
	s := &service{t: t, path: t.TempDir(), keys: testlog.NewKeys(t)}
	s.dir = testlog.Must(storage.OpenDir(s.path))(t)
	s.index, _ = index.Open(t.Context(), s.dir.Private("index.db"), nil, nil)
	o := s.keys.Options()
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
