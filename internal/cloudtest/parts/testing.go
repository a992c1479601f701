package parts

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// shared are the servers of all tests of a process, once one needs them.
type shared[C Cloud] struct {
	once  sync.Once
	cloud C
	err   error
}

// of gives the running servers, and the test their environment. The first test
// starts them; where they cannot be started because something is not installed,
// the test is skipped.
func (s *shared[C]) of(t testing.TB, start func(context.Context) (C, error)) C {
	t.Helper()
	s.once.Do(func() { s.cloud, s.err = start(context.Background()) })
	if errors.Is(s.err, ErrMissing) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	for name, value := range s.cloud.Environment() {
		t.Setenv(name, value)
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

// Main runs the tests and ends what they started. It is for TestMain.
func (s *Tests) Main(m *testing.M) int {
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
