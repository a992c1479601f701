package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
)

// cutoff ends a context when a text is written.
type cutoff struct {
	bytes.Buffer
	at  string
	end context.CancelFunc
}

func (c *cutoff) Write(p []byte) (int, error) {
	n, err := c.Buffer.Write(p)
	if strings.Contains(c.String(), c.at) {
		c.end()
	}
	return n, err
}

// TestDemoWithoutService: the demo needs conmotiond, says so, and leaves nothing.
func TestDemoWithoutService(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := filepath.Join(t.TempDir(), "demo")
	var stderr bytes.Buffer
	code := runIn(t.Context(), []string{"demo", "--dir", dir}, strings.NewReader(""), io.Discard, &stderr)
	if want := "conmotiond is neither beside this program nor in the PATH, and cannot be built here"; code != cli.ExitUsage || !strings.Contains(stderr.String(), want) {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it left its directory: %v", err)
	}
}

// TestDemoInterrupted: no service outlives a demo that is interrupted, while they
// start or in the middle of a flow.
func TestDemoInterrupted(t *testing.T) {
	t.Setenv("PATH", filepath.Dir(testprogram.Path(t, "conmotiond"))+string(filepath.ListSeparator)+filepath.Dir(testprogram.Path(t, "conmotion-witness")))
	for _, at := range []string{"auditor's service is", "the customer's service starts again", "2  provider"} {
		ctx, cancel := context.WithCancel(t.Context())
		out, stderr := &cutoff{at: at, end: cancel}, &bytes.Buffer{}
		code := runIn(ctx, []string{"demo", "--dir", filepath.Join(t.TempDir(), "demo")}, strings.NewReader(""), out, stderr)
		if code != cli.ExitUsage || !strings.Contains(stderr.String(), "canceled") {
			t.Errorf("%s: exit code %d: %s", at, code, stderr)
		}
		services := regexp.MustCompile(`service is http://(\S+)`).FindAllStringSubmatch(out.String(), -1)
		if len(services) < 2 {
			t.Fatalf("%s: %d services started", at, len(services))
		}
		for _, s := range services {
			if conn, err := net.Dial("tcp", s[1]); err == nil {
				conn.Close()
				t.Errorf("%s: the service at %s still runs", at, s[1])
			}
		}
	}
}

// TestDemoKilled: what the demo started ends with it, in whatever way it ends.
func TestDemoKilled(t *testing.T) {
	tool := testprogram.Path(t, "conmotion")
	t.Setenv("PATH", filepath.Dir(testprogram.Path(t, "conmotiond"))+string(filepath.ListSeparator)+filepath.Dir(testprogram.Path(t, "conmotion-witness")))
	demo := exec.CommandContext(t.Context(), tool, "demo", "--dir", filepath.Join(testwait.Dir(t), "demo"))
	lines := bufio.NewScanner(testlog.Must(demo.StdoutPipe())(t))
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	var started []string
	for lines.Scan() && !strings.Contains(lines.Text(), "service starts again") { // the witnesses run too
		if m := regexp.MustCompile(`service is http://(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			started = append(started, m[1])
		}
	}
	if err := demo.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = demo.Wait() // "signal: killed"
	if len(started) != 3 {
		t.Fatalf("services at %q", started)
	}
	for _, address := range started {
		testwait.Until(t, func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err != nil
		}, "the service at ", address, " has ended")
	}
}
