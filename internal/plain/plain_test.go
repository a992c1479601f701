package plain

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPlain(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(at("sub"), 0o755), os.WriteFile(at("sub/file"), []byte("content"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, there := range []string{dir, at("nowhere")} {
		if err := Tree(t.Context(), there); err != nil {
			t.Errorf("%s: %v", there, err)
		}
	}
	for limit, ok := range map[int64]bool{6: false, 7: true, 8: true} {
		if got, err := ReadFile(at("sub/file"), limit); (err == nil) != ok || ok && string(got) != "content" {
			t.Errorf("at most %d: %q, %v", limit, got, err)
		}
	}
	for name, target := range map[string]string{"device": os.DevNull, "directory": dir, "file": at("sub/file"), "nothing": at("nowhere")} {
		link := at("sub/link")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if err := Tree(t.Context(), dir); !errors.Is(err, ErrNotPlain) || !strings.Contains(err.Error(), "sub/link") {
			t.Errorf("a link to a %s: %v", name, err)
		}
		_, _, err := Open(link)
		switch name {
		case "file":
			if err != nil {
				t.Error(err)
			}
		case "nothing":
			if !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		default:
			if !errors.Is(err, ErrNotPlain) {
				t.Errorf("a %s was opened: %v", name, err)
			}
		}
		os.Remove(link)
	}
	// The directory itself may be a link: that is what the user named.
	if err := errors.Join(os.Symlink(dir, at("../"+filepath.Base(dir)+"-link")), Tree(t.Context(), dir+"-link")); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Tree(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := io.ReadAll(Reader(ctx, strings.NewReader("x"))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestInput: a pipe is read to its end, and waited for until the context ends, both
// where nobody opens it to write and where nobody writes.
func TestInput(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for limit, ok := range map[int64]bool{6: false, 7: true} {
		written := make(chan error, 1)
		go func() { written <- os.WriteFile(pipe, []byte("content"), 0) }()
		if got, err := ReadInput(t.Context(), pipe, limit); (err == nil) != ok || ok && string(got) != "content" {
			t.Errorf("at most %d: %q, %v", limit, got, err)
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	}
	ended := errors.New("ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	opening, reading := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := ReadInput(ctx, pipe, 7)
		opening <- err
	}()
	silent, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	go func() {
		_, err := ReadAll("pipe", Reader(ctx, silent), 7)
		reading <- err
	}()
	cancel(ended)
	for name, done := range map[string]chan error{"opening": opening, "reading": reading} {
		if err := <-done; !errors.Is(err, ended) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whoever opens the pipe now lets the one that waits go.
	if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
		f.Close()
	}
}
