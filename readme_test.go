package conmotion_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// TestReadme runs the README: the service with its first command, then every
// snippet of the tour as it stands there, in one shell's working directory.
// Two things are changed: the port, which must be a free one, and "go run",
// which runs programs that were built once.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t)
	snippets := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(snippets) < 5 {
		t.Fatalf("the README has %d snippets", len(snippets))
	}
	stopped := false
	for _, m := range snippets {
		snippet := string(m[1])
		switch {
		case strings.Contains(snippet, "go test"): // this is it
			continue
		case strings.Contains(snippet, "cmd/conmotiond"):
			r.serve(snippet+" --listen "+r.address, "verify --log")
			continue
		case strings.Contains(snippet, "cmd/conmotion-witness"):
			r.serve(snippet+" --listen 127.0.0.1:0", "--witness-policy")
			continue
		}
		// The README says when to stop the service.
		if before := readme[:bytes.Index(readme, m[0])]; !stopped && bytes.Contains(before, []byte("Now stop the service")) {
			r.stop()
			stopped = true
		}
		r.run(snippet)
	}
	if !stopped {
		t.Error("the service was never stopped")
	}
}

// reader is somebody who follows the README.
type reader struct {
	t       *testing.T
	dir     string
	path    string // where "go" is the one of this test
	address string
	running []*exec.Cmd
}

func newReader(t *testing.T) *reader {
	t.Helper()
	bin := t.TempDir()
	for _, program := range []string{"conmotion", "conmotiond", "conmotion-witness"} {
		if err := os.Symlink(testprogram.Path(t, program), filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\nprogram=$(basename \"$2\"); shift 2; exec " + bin + "/\"$program\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, dir: t.TempDir(), path: bin, address: testwait.Address(t)}
	for _, name := range []string{"README.md", "policy/ocsf/testdata", "monitor/importer/testdata", "testdata"} {
		target, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *reader) command(snippet string) *exec.Cmd {
	cmd := exec.Command("sh", "-euc", strings.ReplaceAll(snippet, "127.0.0.1:8080", r.address))
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "PATH="+r.path+":"+os.Getenv("PATH"), "CONMOTION_HOME="+filepath.Join(r.dir, "home"))
	return cmd
}

// serve starts what goes on, and waits for the last thing that it has to say.
func (r *reader) serve(snippet, last string) {
	r.t.Helper()
	cmd := r.command("exec " + regexp.MustCompile(`  +#.*|\n`).ReplaceAllString(snippet, ""))
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	if len(r.running) == 0 {
		r.t.Cleanup(r.stop)
	}
	r.running = append(r.running, cmd)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), last) {
			return
		}
	}
	r.t.Fatalf("it did not start: %s", snippet)
}

// stop ends what was started, the last first.
func (r *reader) stop() {
	for _, cmd := range slices.Backward(r.running) {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			r.t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			r.t.Errorf("%s ended with %v", cmd, err)
		}
	}
	r.running = nil
}

func (r *reader) run(snippet string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := r.command(snippet)
	context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s\n%s", err, snippet, out)
	}
}
