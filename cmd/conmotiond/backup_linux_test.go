package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/testwait"
)

// startRefused runs conmotiond, which must end by itself, and gives what it says.
func startRefused(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testlog.Must(os.Executable())(t), args...)
	cmd.Env = append(os.Environ(), beConmotiond+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("conmotiond %v ended well\n%s", args, out)
	}
	return string(out)
}

// TestBackup: a copy that deploy/backup makes of a service under load goes on as the
// log, with every Receipt from before it. Beside a newer public checkpoint, which is
// what an operator puts there who knows one, it is refused: it would be a fork.
func TestBackup(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("rsync"); err != nil {
		t.Skip("rsync is not installed: apt-get install rsync")
	}
	keys, dir, copied, old := filepath.Join(t.TempDir(), "keys"), t.TempDir(), t.TempDir(), t.TempDir()
	makeKeys := command(os.Stdout, os.Stderr)
	makeKeys.SetArgs([]string{"keys", "--issuer", "https://transparency.example", keys})
	if err := makeKeys.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := func(dir string) *process {
		t.Helper()
		address := testwait.Address(t)
		p := start(t, nil, nil, "--keys", keys, "--dir", dir, "--listen", address, "--search=false")
		p.url = "http://" + address // the issuer is not where it listens
		return p
	}
	backup := func(target string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "../../deploy/backup", dir, target).CombinedOutput(); err != nil {
			t.Fatalf("backup: %v\n%s", err, out)
		}
	}
	l := &load{receipts: map[string][]byte{}}
	l.more.L = &l.mu
	p := run(dir)
	stop := l.clients(t, p, "load")
	var before map[string][]byte
	for _, target := range []string{old, copied, copied} {
		l.await(200)
		l.mu.Lock()
		before = maps.Clone(l.receipts)
		l.mu.Unlock()
		backup(target)
		l.await(1) // it went on meanwhile
	}
	stop()
	_ = p.signal(syscall.SIGKILL)

	for _, c := range []struct{ what, want string }{
		{"checkpoint", "the public checkpoint: "}, // whose tiles are not there
		{"", "does not extend the public checkpoint"},
	} {
		newer := filepath.Join(dir, "public", c.what)
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", "-T", newer, filepath.Join(old, "public", c.what)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if out := startRefused(t, "--keys", keys, "--dir", old, "--listen", testwait.Address(t)); !strings.Contains(out, c.want) {
			t.Errorf("an old backup beside newer public files: %s", out)
		}
	}
	restored := run(copied)
	checker := restored.checker(copied)
	checker.Check(t, before)
	stop = l.clients(t, restored, "after")
	l.await(50)
	stop()
	checker.Check(t, before)
}

// TestDrill: deploy/drill is content when a service that is killed comes back with what
// it had, and not when it comes back as another log.
func TestDrill(t *testing.T) {
	t.Parallel()
	bin, home := filepath.Dir(testprogram.Path(t, "conmotion")), t.TempDir()
	address := testwait.Address(t)
	run := func(dir string) *process {
		t.Helper()
		return start(t, nil, nil, "--dir", dir, "--listen", address)
	}
	dir := t.TempDir()
	for _, c := range []struct{ after, patience string }{{dir, "300"}, {t.TempDir(), "3"}} {
		p := run(dir)
		drill := exec.CommandContext(t.Context(), "../../deploy/drill", p.url, "kill", "-9", fmt.Sprint(p.cmd.Process.Pid))
		drill.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+home, "XDG_CONFIG_HOME=", "DRILL_SECONDS="+c.patience)
		output := new(buffer)
		drill.Stdout, drill.Stderr = output, output
		if err := drill.Start(); err != nil {
			t.Fatal(err)
		}
		p.done <- <-p.done // until it is killed
		p = run(c.after)
		if err := drill.Wait(); (err == nil) != (c.after == dir) {
			t.Errorf("the service is back in %s: %v\n%s", c.after, err, output)
		}
		_ = p.signal(syscall.SIGKILL)
	}
}
