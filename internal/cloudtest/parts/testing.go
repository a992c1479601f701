package parts

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// shared are the parts of all tests of a process, once one needs them.
type shared struct {
	once  sync.Once
	parts *Parts
	err   error
}

// Tests gives the parts to the tests of a package.
type Tests struct{ shared }

// Main runs the tests and ends what they started. It is for TestMain.
func (s *Tests) Main(m *testing.M) int {
	defer func() {
		if s.parts != nil {
			s.parts.Stop()
		}
	}()
	return m.Run()
}

// Parts gives the running parts, and the test their environment. The first test
// starts them; where they cannot be started because something is not installed,
// the test is skipped.
func (s *Tests) Parts(t testing.TB) *Parts {
	t.Helper()
	s.once.Do(func() { s.parts, s.err = Start(context.Background()) })
	if errors.Is(s.err, ErrMissing) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	for name, value := range s.parts.Environment() {
		t.Setenv(name, value)
	}
	return s.parts
}
