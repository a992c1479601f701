//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestWriteOutput: a file is replaced, and what is no file is written to and
// stays what it is.
func TestWriteOutput(t *testing.T) {
	a := &app{}
	file, pipe := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "pipe")
	for _, content := range []string{"first", "second"} {
		if err := a.writeOutput(file, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got := testlog.Must(os.ReadFile(file))(t); string(got) != content {
			t.Errorf("%q is %q", content, got)
		}
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	// Opened for both, it waits for nobody.
	f := testlog.Must(os.OpenFile(pipe, os.O_RDWR, 0))(t)
	defer f.Close()
	if err := a.writeOutput(pipe, []byte("through the pipe")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, []byte("through the pipe")) {
		t.Errorf("%q, %v", got, err)
	}
	if err := a.writeOutput(t.TempDir(), []byte("x")); err == nil {
		t.Error("a directory was written to")
	}
}
