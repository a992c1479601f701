// Package testprogram has the programs of this module for tests, each built once
// for the tests of all packages: "go run" keeps what it builds in Go's cache.
package testprogram

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// Path is the file of a program, such as "conmotiond".
func Path(t testing.TB, name string) string {
	t.Helper()
	file, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Find is [Path] where there is no test.
func Find(name string) (string, error) {
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
