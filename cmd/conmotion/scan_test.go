package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestScanAgain: a second scan says of each object what the first one said, also where the log has it already and it is
// read less thoroughly: what is seen, what is refused, and so what is gone.
func TestScanAgain(t *testing.T) {
	t.Parallel()
	r := newRecorders(t)
	_, url := r.service("log", chainPolicy)
	file := func(name string, changed int) string {
		if err := writeConfigItems(r.path(name), 300, changed); err != nil {
			t.Fatal(err)
		}
		return r.path(name)
	}
	first, second, odd := file("1.json", 0), file("2.json", 3), file("odd.json", 3)
	data := testlog.Must(os.ReadFile(odd))(t)
	at := bytes.LastIndex(data, []byte(`"OK"`))
	if err := os.WriteFile(odd, append(append(data[:at:at], `"Odd"`...), data[at+4:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		home, file, day string
		code            int
		results, said   string
	}{
		{"home", first, "02", 0, "600 registered", `^scan: entry 602, [0-9a-f]+: 300 assets, 0 gone$`},
		{"home", odd, "03", 1, "1 invalid, 3 registered, 3 unchanged, 592 already recorded", `^not complete: .*odd.json:300: invalid$`},
		{"home", second, "04", 0, "3 unchanged, 597 already recorded", `^scan: entry 607, [0-9a-f]+: 300 assets, 0 gone$`},
		{"home", second, "04", 0, "3 unchanged, 597 already recorded", `^the scan is already recorded$`},
		{"another", second, "04", 0, "3 unchanged, 597 already recorded", `^the scan is already recorded$`},
	} {
		day := "2026-03-" + tt.day
		cmd := r.command(tt.home, "import", "aws-config", "--json", "--log", url, "--key", r.path("k.pem"), "--complete", "all", "--started", day, "--ended", day, tt.file)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
			t.Fatal(err)
		}
		if results := countResults(t, out); cmd.ProcessState.ExitCode() != tt.code || results != tt.results || !regexp.MustCompile("(?m)"+tt.said).MatchString(said.String()) {
			t.Errorf("%s of day %s: exit code %d, %s\n%s", tt.file, tt.day, cmd.ProcessState.ExitCode(), results, &said)
		}
	}
	out := r.run("replay", "--json", "--log", url)
	if !strings.HasPrefix(out, `{"anomalies":[],"anomalies_more":0,`) || strings.Count(out, `"account":`) != 600 {
		t.Errorf("%.500s", out)
	}
}

// TestImportInterrupted: a first Ctrl-C ends an import behind what it registers, it says how far it came, and the same
// command does the rest.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	r := newRecorders(t)
	_, url := r.service("log", chainPolicy)
	const events = 2 * 1300 // of several runs, of which the command prints more than a pipe holds
	if err := writeConfigItems(r.path("items.json"), events/2, 0); err != nil {
		t.Fatal(err)
	}
	args := []string{"import", "aws-config", "--json", "--log", url, "--key", r.path("k.pem"), r.path("items.json")}
	cmd := r.command("home", args...)
	stdout, stderr := testlog.Must(cmd.StdoutPipe())(t), testlog.Must(cmd.StderrPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	testlog.Must(out.Peek(1))(t) // and no more is read, so it waits
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stderr)
	for line := ""; !strings.HasPrefix(line, "interrupted: "); {
		line = testlog.Must(said.ReadString('\n'))(t)
	}
	first := strings.Count(string(testlog.Must(io.ReadAll(out))(t)), `"result":"registered"`)
	last := string(testlog.Must(io.ReadAll(said))(t))
	if err := cmd.Wait(); err == nil || first == 0 || first >= events || !strings.Contains(last, "until then; the same command goes on from there)") {
		t.Fatalf("%v, %d registered: %s", err, first, last)
	}
	results := r.run(args...)
	if known := strings.Count(results, `"result":"already recorded"`); known != first || known+strings.Count(results, `"result":"registered"`) != events {
		t.Errorf("%d of %d are known", known, first)
	}
}
