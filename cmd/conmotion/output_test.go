package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWriteOutput: a file is replaced in one step; what is no file stays what
// it is. Without that, root's --out /dev/null would be the end of /dev/null.
func TestWriteOutput(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard}
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	for _, content := range []string{"first", "second"} {
		if err := a.writeOutput(file, []byte(content)); err != nil {
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
	if err := a.writeOutput(pipe, []byte("through")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe became %v, %v", info, err)
	}
	if got := <-read; got != "through" {
		t.Errorf("the pipe gave %q", got)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "no", "such")} {
		if err := a.writeOutput(bad, nil); err == nil {
			t.Errorf("%s was written", bad)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

// TestLinesOfTheirOwn: text from outside that has line feeds in it writes no
// lines, such as a verdict.
func TestLinesOfTheirOwn(t *testing.T) {
	const planted = "verified"
	at := func(dir, name string) string { return filepath.Join(dir, name) }
	dir := t.TempDir()
	if err := os.WriteFile(at(dir, "event.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	sub := "asset\n" + planted + "\r\n" + planted + "\u2028" + planted
	for _, args := range [][]string{
		{"keygen", "--out", at(dir, "k.pem")},
		{"keygen", "--out", at(dir, "other.pem")},
		{"sign", "--key", at(dir, "k.pem"), "--sub", sub, "--out", at(dir, "s.cose"), at(dir, "event.json")},
		{"sign", "--key", at(dir, "k.pem"), "--iss", "https://issuer.example/\n" + planted, "--sub", "asset", "--out", at(dir, "t.cose"), at(dir, "event.json")},
		{"inspect", at(dir, "s.cose")},
		{"verify", at(dir, "s.cose")},
		{"verify", "--issuer-key", at(dir, "other.pem"), at(dir, "s.cose")},
		{"verify", at(dir, "t.cose")},
		{"verify", at(dir, "none\n"+planted)},
		{"policy", "test", "--policy", at(dir, "event.json"), at(dir, "s.cose")},
	} {
		got := runTool(t, args...)
		for line := range strings.Lines(got.stdout + got.stderr) {
			if strings.HasPrefix(line, planted) {
				t.Errorf("conmotion %q:\n%s%s", args, got.stdout, got.stderr)
				break
			}
		}
	}
}
