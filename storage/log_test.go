package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/posix"
)

func TestMain(m *testing.M) {
	testwait.Together()
	testwait.Quick()
	m.Run()
}

// service is a log with its index, as a process holds them.
type service struct {
	t     testing.TB
	path  string
	keys  *testlog.Keys
	dir   *storage.Dir
	index *index.Index
	log   *storage.Log
	// change, when not nil, changes the options with which it is opened.
	change func(*storage.Options)
}

func newService(t testing.TB) *service {
	t.Helper()
	s := &service{t: t, path: testwait.Dir(t), keys: testlog.NewKeys(t)}
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
	o := teststorage.Options(s.keys)
	o.Antispam = s.index
	if s.change != nil {
		s.change(&o)
	}
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
	return testlog.Register(s.t, s.log, statement)
}

func (s *service) checker() *testlog.Checker {
	return testlog.NewChecker(s.t, s.dir.Public(), s.keys.VKeys, s.keys.KeySet(s.t))
}

func TestLogAcrossRestarts(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
