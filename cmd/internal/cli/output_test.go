package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/plain"
)

// TestReadInput: a file that no memory holds is refused before it is read.
func TestReadInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 20<<30)); err != nil {
		t.Fatal(err)
	}
	if _, err := new(App).ReadInput(t.Context(), file); !errors.Is(err, plain.ErrLarge) {
		t.Errorf("20 GiB: %v", err)
	}
	if _, err := ReadFileFlag(t.Context(), "payload", file); !errors.Is(err, plain.ErrLarge) {
		t.Errorf("20 GiB of a flag: %v", err)
	}
}

// TestWriteOutput: a file is replaced in one step; what is not a file stays what
// it is. Without that, root's --out /dev/null would be the end of /dev/null.
func TestWriteOutput(t *testing.T) {
	a := &App{Stdout: io.Discard, Stderr: io.Discard}
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	for _, content := range []string{"first", "second"} {
		if err := a.WriteOutput(t.Context(), file, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != content {
			t.Errorf("the file holds %q, %v", got, err)
		}
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		data, err := os.ReadFile(pipe)
		if err != nil {
			t.Error(err)
		}
		read <- string(data)
	}()
	if err := a.WriteOutput(t.Context(), pipe, []byte("through")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe became %v, %v", info, err)
	}
	if got := <-read; got != "through" {
		t.Errorf("the pipe gave %q", got)
	}
	// Nobody reads any more: the context ends the wait, as it does where the pipe is full.
	ended := errors.New("ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	written := make(chan error, 1)
	go func() { written <- a.WriteOutput(ctx, pipe, []byte("nobody")) }()
	cancel(ended)
	if err := <-written; !errors.Is(err, ended) {
		t.Errorf("a pipe that nobody reads: %v", err)
	}
	if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil { // lets the one that waits go
		defer f.Close()
	}
	for _, bad := range []string{dir, filepath.Join(dir, "no", "such")} {
		if err := a.WriteOutput(t.Context(), bad, nil); err == nil {
			t.Errorf("%s was written", bad)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

// On a terminal progress is one line that is written over and taken away.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &Progress{out: &out, terminal: true}
	p.Show(func() string { return "1 of 2" })
	p.Show(func() string { return "too soon" })
	p.Done()
	if got := out.String(); got != "\r1 of 2\r      \r" {
		t.Errorf("wrote %q", got)
	}
	out.Reset()
	p = &Progress{out: &out}
	p.Show(func() string { return "1 of 2" })
	p.Show(func() string { return "too soon" })
	p.Done()
	if got := out.String(); got != "1 of 2\n" {
		t.Errorf("wrote %q", got)
	}
}
