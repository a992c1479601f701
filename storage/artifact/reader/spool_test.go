package reader_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/storage/artifact/reader"
)

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	for _, err := range []error{os.Mkdir(os.Getenv("TMPDIR"), 0o700), os.WriteFile(file, []byte("content"), 0o600), syscall.Mkfifo(pipe, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		if err := os.WriteFile(pipe, []byte("content"), 0o600); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{file, pipe, "-"} {
		var told []string
		c, err := reader.OpenFile(t.Context(), name, strings.NewReader("content"), func(what string, _, total int64) {
			if (what == "hashed") != (total == -1) {
				t.Errorf("%s of %d", what, total)
			}
			told = append(told, what)
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.Size != 7 || c.Digest != sha256.Sum256([]byte("content")) {
			t.Errorf("%s: %d bytes, %s", name, c.Size, c.Digest)
		}
		for range 2 {
			data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
			if err != nil || string(data) != "content" {
				t.Errorf("%s: %q, %v", name, data, err)
			}
		}
		if data, err := c.Bytes(); err != nil || string(data) != "content" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if name == file {
			if err := os.WriteFile(file, []byte("another"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Bytes(); !errors.Is(err, reader.ErrChanged) {
				t.Errorf("a file that changed: %v", err)
			}
		}
		if err := c.Close(); err != nil || told[0] != "hashed" || told[len(told)-1] != "sent" {
			t.Errorf("%s: %v, told %q", name, err, told)
		}
		left, err := os.ReadDir(os.Getenv("TMPDIR"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
	if _, err := reader.OpenFile(t.Context(), filepath.Join(dir, "none"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := reader.OpenFile(ended, "-", strings.NewReader("content"), func(string, int64, int64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
