// Package testwait waits in tests for what comes in its own time, and for addresses that are free.
package testwait

import (
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testport"
)

// Until waits for what comes in its own time, for two minutes at most; then the test
// fails with what is said of it.
func Until(t testing.TB, is func() bool, what ...any) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(append([]any{"it does not come to this: "}, what...)...)
		}
	}
}

// Address is HOST:PORT for a server of the test, which may be started there again.
func Address(t testing.TB) string {
	t.Helper()
	address, release, err := testport.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return address
}
