// Package testprogram has the programs of this module for tests, each built once
// for the tests of all packages: "go run" keeps what it builds in Go's cache.
package testprogram

import (
	"fmt"
	"os"
	"os/exec"
	"path"
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
	file, err := find(name)
	if err != nil {
		t.Fatal(err)
	}
	found.Store(name, file)
	return file
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
