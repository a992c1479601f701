// Package testwait waits in tests for what comes in its own time, and for addresses that are free.
package testwait

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testport"
)

// Together has more parallel tests of a package at once than there are processors: they wait
// most of the time. It is for TestMain; the flag -parallel changes it.
func Together() {
	if err := flag.Set("test.parallel", strconv.Itoa(4+runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // only without the flag
	}
}

// Quick has the tests of a package spend less on what they do not test: their temporary directories are in memory, and
// they collect less garbage, as most end before there is much. Benchmarks, TMPDIR and GOGC have it their way. It is for
// TestMain.
func Quick() {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() != "" {
		return
	}
	if os.Getenv("TMPDIR") == "" {
		inMemory()
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

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

// Dir is a directory that is removed when the test ends, also where what has been stopped
// still writes for a moment: Tessera's background work ends some time after its context.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "conmotion-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Until(t, func() bool { return os.RemoveAll(dir) == nil }, "the directory is removed: ", dir) })
	return dir
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
