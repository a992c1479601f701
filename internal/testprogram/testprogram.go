// Package testprogram has the programs of this module for tests, each built once
// for the tests of all packages: "go run" keeps what it builds in Go's cache, and
// is asked once by a "go test".
package testprogram

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// found are the programs that this process has asked for already.
var found sync.Map

// Path is the file of a program, such as "conmotiond".
func Path(t testing.TB, name string) string {
	t.Helper()
	if file, ok := found.Load(name); ok {
		return file.(string)
	}
	link := noted(name)
	file, err := os.Readlink(link)
	if err != nil {
		if file, err = find(name); err != nil {
			t.Fatal(err)
		}
		_ = os.Symlink(file, link) // without it the next package asks as well
	}
	found.Store(name, file)
	return file
}

// noted is where the tests of one package tell those of the others where a program is: a
// link in the directory of this "go test", which removes it at its end. It is "" where
// something else runs the tests.
func noted(name string) string {
	test, err := os.Executable()
	if work := filepath.Dir(filepath.Dir(test)); err == nil && strings.HasPrefix(filepath.Base(work), "go-build") {
		return filepath.Join(work, "program-"+path.Base(name))
	}
	return ""
}

func find(name string) (string, error) {
	for range 2 { // the first time what was built goes into the cache when it ran
		cmd := exec.Command("go", "run", "-exec", "echo", "github.com/conmotion/conmotion/"+path.Join("cmd", name))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, &stderr)
		}
		file := strings.TrimSpace(string(out))
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("build %s: go run does not keep it", name)
}

// Kills is how often a test kills programs at random moments: n times, or as CONMOTION_KILL_ROUNDS says.
func Kills(n int) int {
	if said, err := strconv.Atoi(os.Getenv("CONMOTION_KILL_ROUNDS")); err == nil {
		return said
	}
	return n
}
