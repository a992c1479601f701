package aws_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/storage/index"
)

// service is a log in a bucket with its index, as a process holds them.
type service struct {
	t        testing.TB
	parts    *parts.Parts
	bucket   parts.Bucket
	database string
	keys     *testlog.Keys
	file     string        // of the index
	lease    time.Duration // 0 for the default

	driver *aws.Driver
	index  *index.Index
	log    *storage.Log
}

func newService(t testing.TB) *service {
	t.Helper()
	p := cloud.Parts(t)
	s := &service{t: t, parts: p, keys: testlog.NewKeys(t), file: filepath.Join(t.TempDir(), "index.db"),
		bucket: testlog.Must(p.NewBucket(t.Context(), true))(t), database: testlog.Must(p.NewDatabase(t.Context()))(t)}
	t.Cleanup(s.close)
	return s
}

func (s *service) config() aws.Config {
	s.t.Helper()
	return aws.Config{
		Bucket:   testlog.Must(aws.ParseBucket(s.bucket.Location))(s.t),
		Database: testlog.Must(aws.ParseDatabase(s.database, s.parts.Password))(s.t),
		Lease:    s.lease, Logger: slog.New(slog.DiscardHandler),
	}
}

func (s *service) open() *service {
	s.t.Helper()
	if err := s.tryOpen(); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// tryOpen opens the log when nobody else is its writer, or nothing.
func (s *service) tryOpen() (err error) {
	for err = storage.ErrLocked; errors.Is(err, storage.ErrLocked) && s.t.Context().Err() == nil; {
		err = s.openNow()
	}
	return err
}

func (s *service) openNow() (err error) {
	s.keys.NewTree(s.t)
	s.driver = testlog.Must(aws.New(s.t.Context(), s.config()))(s.t)
	s.index = testlog.Must(index.Open(s.t.Context(), s.file, nil, nil))(s.t)
	o := s.keys.Options()
	o.Antispam = s.index
	if s.log, err = storage.Open(s.t.Context(), s.driver, o); err != nil {
		return errors.Join(err, s.index.Close(), s.driver.Close())
	}
	size, err := s.log.SequencedSize(s.t.Context())
	return errors.Join(err, s.index.Await(s.t.Context(), size))
}

// close is for a log that is open; it may be closed already.
func (s *service) close() {
	if s.log == nil {
		return
	}
	if err := errors.Join(s.log.Close(context.Background()), s.index.Close(), s.driver.Close()); err != nil {
		s.t.Error(err)
	}
	s.log = nil
}

// add registers a statement and gives its receipt.
func (s *service) add(statement []byte) (uint64, bool, []byte) {
	s.t.Helper()
	return testlog.Register(s.t, s.log, statement)
}

// addMany registers statements at the same time, and notes their receipts.
func (s *service) addMany(n int, name string, receipts map[string][]byte) {
	s.t.Helper()
	key := testlog.Key(s.t, "ES256")
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			statement := testlog.Statement(s.t, key, "asset", fmt.Appendf(nil, "%s %d", name, i))
			_, duplicate, receipt := s.add(statement)
			if duplicate {
				s.t.Error("a new entry is called a duplicate")
			}
			mu.Lock()
			defer mu.Unlock()
			receipts[string(statement)] = receipt
		})
	}
	group.Wait()
}

// checker reads the bucket as everybody can, without credentials.
func (s *service) checker() *testlog.Checker {
	return testlog.NewChecker(s.t, s.bucket.URL, s.keys.VKeys, s.keys.KeySet(s.t))
}

func TestLogAcrossRestarts(t *testing.T) {
	s := newService(t)
	receipts := map[string][]byte{}
	checker := s.checker()
	for round := range 3 {
		s.open()
		s.addMany(300, fmt.Sprint(round), receipts)
		checker.Check(t, receipts)
		s.close()
	}
	s.open()
	if got := s.log.PublishedSize(); got != 900 {
		t.Errorf("the log has %d entries, want 900", got)
	}
}
