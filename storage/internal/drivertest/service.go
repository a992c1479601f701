// Package drivertest holds the tests that every driver of a log in a bucket must
// pass, with the real servers.
package drivertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// Place is an empty bucket, which everybody may read, and an empty database.
type Place struct {
	// Endpoint is the URL of the bucket's server, and URL that of the bucket's objects.
	Endpoint, URL string
	// Connect makes the driver of the place, with another endpoint than the bucket's.
	Connect func(ctx context.Context, endpoint string, o storage.WriterOptions) (*cloud.Driver, error)
	// Objects are the keys of the bucket's objects, and their tags.
	Objects func(ctx context.Context) (map[string]string, error)
	// Tables is the number of tables in the database.
	Tables func(ctx context.Context) (int, error)
	// SetFormat changes the format of the log that is there; 0 makes it a log without one.
	SetFormat func(ctx context.Context, format int) error
}

// Run tests the driver of the places that open gives, together where one process can
// use several of them at a time: the tests mostly wait.
func Run(t *testing.T, together bool, open func(t testing.TB) Place) {
	for name, test := range map[string]func(*testing.T, func(testing.TB) *Service){
		"AcrossRestarts": acrossRestarts,
		"OldWriter":      oldWriter,
		"AtOnce":         atOnce,
		"BatchSize":      batchSize,
		"Runs":           runs,
		"Foreign":        foreign,
		"MadeMeanwhile":  madeMeanwhile,
		"Format":         format,
		"Moved":          moved,
		"Headers":        headers,
		"Publish":        publish,
		"ThroughCache":   throughCache,
		"Copy":           copied,
		"BucketFails":    bucketFails,
		"BucketGone":     bucketGone,
		"Witnessed":      witnessed,
	} {
		t.Run(name, func(t *testing.T) {
			if together {
				t.Parallel()
			}
			test(t, func(t testing.TB) *Service { return NewService(t, open(t)) })
		})
	}
}

// Service is a log in a bucket with its index, as a process holds them.
type Service struct {
	Place
	t        testing.TB
	keys     *testlog.Keys
	file     string                 // of the index
	Lease    time.Duration          // 0 for the default
	endpoint string                 // that is used
	change   func(*storage.Options) // of a log that is opened; nil for nothing

	Driver *cloud.Driver
	index  *index.Index
	log    *storage.Log
}

// NewService makes the log of a place, which is not open yet.
func NewService(t testing.TB, p Place) *Service {
	t.Helper()
	s := &Service{Place: p, t: t, keys: testlog.NewKeys(t), file: filepath.Join(t.TempDir(), "index.db"), endpoint: p.Endpoint}
	t.Cleanup(s.Close)
	return s
}

// connect makes another driver of the place.
func (s *Service) connect() *cloud.Driver {
	s.t.Helper()
	return testlog.Must(s.Connect(s.t.Context(), s.endpoint, storage.WriterOptions{Lease: s.Lease, Logger: slog.New(slog.DiscardHandler)}))(s.t)
}

func (s *Service) Open() *Service {
	s.t.Helper()
	if err := s.TryOpen(); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// TryOpen opens the log when nobody else is its writer, or nothing.
func (s *Service) TryOpen() (err error) {
	for err = storage.ErrLocked; errors.Is(err, storage.ErrLocked) && s.t.Context().Err() == nil; {
		err = s.openNow()
	}
	return err
}

func (s *Service) openNow() (err error) {
	s.keys.NewTree(s.t)
	s.Driver = s.connect()
	s.index = testlog.Must(index.Open(s.t.Context(), s.file, nil, nil))(s.t)
	o := teststorage.Options(s.keys)
	o.Antispam = s.index
	if s.change != nil {
		s.change(&o)
	}
	if s.log, err = storage.Open(s.t.Context(), s.Driver, o); err != nil {
		return errors.Join(err, s.index.Close(), s.Driver.Close())
	}
	size, err := s.log.SequencedSize(s.t.Context())
	return errors.Join(err, s.index.Await(s.t.Context(), size))
}

// Close is for a log that is open; it may be closed already.
func (s *Service) Close() {
	if s.log == nil {
		return
	}
	if err := errors.Join(s.log.Close(context.Background()), s.index.Close(), s.Driver.Close()); err != nil {
		s.t.Error(err)
	}
	s.log = nil
}

// add registers a statement and gives its receipt.
func (s *Service) add(statement []byte) (uint64, bool, []byte) {
	s.t.Helper()
	return testlog.Register(s.t, s.log, statement)
}

// addMany registers statements at the same time, and notes their receipts.
func (s *Service) addMany(n int, name string, receipts map[string][]byte) {
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
func (s *Service) checker() *testlog.Checker {
	return testlog.NewChecker(s.t, s.URL, s.keys.VKeys, s.keys.KeySet(s.t))
}

func acrossRestarts(t *testing.T, newService func(testing.TB) *Service) {
	s := newService(t)
	receipts := map[string][]byte{}
	checker := s.checker()
	for round := range 3 {
		s.Open()
		s.addMany(300, fmt.Sprint(round), receipts)
		checker.Check(t, receipts)
		s.Close()
	}
	s.Open()
	if got := s.log.PublishedSize(); got != 900 {
		t.Errorf("the log has %d entries, want 900", got)
	}
}
