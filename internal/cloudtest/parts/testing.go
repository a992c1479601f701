package parts

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/testwait"
)

// shared are the servers of all tests of a process, once one needs them.
type shared[C Cloud] struct {
	once  sync.Once
	cloud C
	err   error
}

// of gives the running servers. The first test starts them, and gives this process
// their environment, which tests that run at the same time share; where they cannot
// be started because something is not installed, the test is skipped.
func (s *shared[C]) of(t testing.TB, start func(context.Context) (C, error)) C {
	t.Helper()
	s.once.Do(func() {
		if s.cloud, s.err = start(context.Background()); s.err != nil {
			return
		}
		for name, value := range s.cloud.Environment() {
			s.err = errors.Join(s.err, os.Setenv(name, value))
		}
	})
	if errors.Is(s.err, ErrMissing) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cloud
}

// stop ends what was started.
func (s *shared[C]) stop() {
	s.once.Do(func() { s.err = ErrMissing }) // nothing is started any more
	if s.err == nil {
		s.cloud.Stop()
	}
}

// Tests gives the clouds to the tests of a package.
type Tests struct {
	aws shared[*AWS]
	gcp shared[*GCP]
}

// Main runs the tests, [testwait.Together] and [testwait.Quick], and ends what they started. It is for TestMain.
func (s *Tests) Main(m *testing.M) int {
	testwait.Together()
	testwait.Quick()
	defer s.aws.stop()
	defer s.gcp.stop()
	return m.Run()
}

// AWS gives a test the servers of AWS.
func (s *Tests) AWS(t testing.TB) *AWS {
	t.Helper()
	return s.aws.of(t, StartAWS)
}

// GCP gives a test the servers of GCP.
func (s *Tests) GCP(t testing.TB) *GCP {
	t.Helper()
	return s.gcp.of(t, StartGCP)
}

// Each runs a test on each cloud, all of them at the same time.
func (s *Tests) Each(t *testing.T, test func(t *testing.T, c Cloud)) {
	t.Helper()
	t.Parallel()
	for name, of := range map[string]func(*testing.T) Cloud{
		"AWS": func(t *testing.T) Cloud { return s.AWS(t) },
		"GCP": func(t *testing.T) Cloud { return s.GCP(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, of(t))
		})
	}
}
