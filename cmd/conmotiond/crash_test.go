package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// acknowledged is what a service promised over all of its lives.
type acknowledged struct {
	mu       sync.Mutex
	receipts map[string][]byte // by statement; 201
	accepted []string          // statements; 202
	unsure   []string          // no answer: they may be in the log or not
}

// load sends statements until the context ends, half of them for a receipt
// later, and statements without an answer of an earlier life again.
func (a *acknowledged) load(ctx context.Context, t *testing.T, p *process, workers int) {
	key := testlog.Key(t, "ES256")
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				statement := a.again()
				if statement == "" {
					statement = string(testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%d %d", w, i)))
				}
				prefer := "wait=10"
				if i%2 == 1 {
					prefer = "respond-async"
				}
				status, body, err := p.post(ctx, []byte(statement), prefer)
				a.note(t, statement, status, body, err)
			}
		})
	}
	group.Wait()
}

func (a *acknowledged) again() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unsure) == 0 {
		return ""
	}
	statement := a.unsure[0]
	a.unsure = a.unsure[1:]
	return statement
}

func (a *acknowledged) note(t *testing.T, statement string, status int, body []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil || status == http.StatusServiceUnavailable:
		a.unsure = append(a.unsure, statement)
	case status == http.StatusCreated:
		a.receipts[statement] = body
	case status == http.StatusAccepted:
		a.accepted = append(a.accepted, statement)
	default:
		t.Errorf("status %d: %q", status, body)
	}
}

// check holds the log, and the service that serves it now, to all promises.
func (a *acknowledged) check(t *testing.T, p *process, checker *testlog.Checker) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	checker.Check(t, a.receipts)
	v := scitt.Verifier{LogKeys: p.keys()}
	find := func(statement string) {
		st := testlog.Must(scitt.ParseStatement([]byte(statement)))(t)
		status, body := p.get("/entries/" + st.ID().String())
		if status != http.StatusOK {
			t.Fatalf("an acknowledged statement is not found: status %d", status)
		}
		out := testlog.Must(v.Verify(scitt.AttachReceipts(st, body)))(t)
		if err := out.Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range a.accepted {
		find(statement)
	}
	for statement := range a.receipts {
		find(statement)
	}
}

// TestKill ends the service with SIGKILL at random moments under load. Over
// all of its lives nothing that it acknowledged is lost or doubled.
func TestKill(t *testing.T) {
	rounds := 10
	if n, err := strconv.Atoi(os.Getenv("CONMOTION_KILL_ROUNDS")); err == nil {
		rounds = n // for a long soak by hand
	}
	dir := t.TempDir()
	args := []string{"--dir", dir, "--listen", freeAddress(t), "--batch-max-age", "5ms", "--rate", "0"}
	a := &acknowledged{receipts: map[string][]byte{}}
	var checker *testlog.Checker
	for round := range rounds {
		p := start(t, nil, nil, args...)
		if checker == nil {
			checker = p.checker(dir)
		}
		a.check(t, p, checker)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { a.load(ctx, t, p, 16) })
		moment := time.Duration(100+rand.IntN(400)) * time.Millisecond
		select {
		case <-time.After(moment):
		case <-t.Context().Done():
		}
		p.signal(syscall.SIGKILL)
		cancel()
		group.Wait()
		t.Logf("life %d: killed after %v, %d receipts and %d acceptances so far", round, moment, len(a.receipts), len(a.accepted))
	}
	p := start(t, nil, nil, args...)
	a.check(t, p, checker)
	if len(a.receipts) < rounds || len(a.accepted) < rounds {
		t.Errorf("only %d receipts and %d acceptances: this was no test", len(a.receipts), len(a.accepted))
	}
	// The index is disposable: without it the answers are the same.
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v\n%s", err, p.stderr)
	}
	for _, name := range testlog.Must(filepath.Glob(filepath.Join(dir, "private", "index.db*")))(t) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	p = start(t, nil, nil, args...)
	a.check(t, p, checker)
}

// TestDrain: SIGTERM under load loses nothing, and every client that waits
// gets its answer.
func TestDrain(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--dir", dir, "--listen", freeAddress(t), "--checkpoint-interval", "1s", "--rate", "0"}
	p := start(t, nil, nil, args...)
	checker := p.checker(dir)
	key := testlog.Key(t, "ES256")
	a := &acknowledged{receipts: map[string][]byte{}}
	var group sync.WaitGroup
	for i := range 40 {
		statement := testlog.Statement(t, key, "asset", fmt.Append(nil, i))
		group.Go(func() {
			status, body, err := p.post(t.Context(), statement, "wait=10")
			if err != nil || status != http.StatusCreated {
				t.Errorf("a waiting client got %d %q, %v", status, body, err)
			}
			a.note(t, string(statement), status, body, err)
		})
	}
	// Once the first are stored all of them are at the service: the
	// connections were opened together.
	for integrated := 0; integrated < 3; {
		_, body := p.get("/entries?from=0")
		if integrated = len(body); integrated > 0 {
			break
		}
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = p.cmd.Process.Signal(syscall.SIGTERM) })
	group.Wait()
	if err := <-p.done; err != nil {
		t.Errorf("the service ended with %v\n%s", err, p.stderr)
	}
	p.done <- nil
	checker.Check(t, a.receipts)
	p = start(t, nil, nil, args...)
	a.check(t, p, checker)
}

// ownDisk starts a service on a disk of its own of this size, in a mount
// namespace, and gives the directory as this process sees it.
func ownDisk(t *testing.T, size string) (p *process, disk string) {
	t.Helper()
	dir := t.TempDir()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	p = start(t, []string{mountTmpfs + "=" + dir + "=" + size}, attr, "--dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	return p, filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", dir, "data")
}

// refused sends a statement that cannot be stored: a clear error, no receipt.
func refused(t *testing.T, p *process, statement []byte, want string) {
	t.Helper()
	status, body, err := p.post(t.Context(), statement, "wait=1")
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	problem := testlog.Must(scitt.ParseProblem(status, body))(t)
	if status != http.StatusServiceUnavailable || problem.Title != "Registration Failed" || !strings.Contains(problem.Detail, want) {
		t.Errorf("got %v, want 503 with %q", problem, want)
	}
}

func TestDiskFull(t *testing.T) {
	p, dir := ownDisk(t, "4m")
	checker := p.checker(dir)
	key := testlog.Key(t, "ES256")
	receipts := map[string][]byte{}
	register := func(content string) {
		t.Helper()
		statement := testlog.Statement(t, key, "asset", []byte(content))
		status, body, err := p.post(t.Context(), statement, "wait=10")
		if err != nil || status != http.StatusCreated {
			t.Fatalf("status %d %q, %v\n%s", status, body, err, p.stderr)
		}
		receipts[string(statement)] = body
	}
	register("before")
	filler := filepath.Join(dir, "filler")
	f := testlog.Must(os.Create(filler))(t)
	for chunk := 1 << 16; chunk > 0; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
	f.Close()
	lost := testlog.Statement(t, key, "asset", make([]byte, 8000))
	refused(t, p, lost, "no space left on device")
	if id := testlog.Must(scitt.ParseStatement(lost))(t).ID(); true {
		status, body := p.get("/entries/" + id.String())
		problem := testlog.Must(scitt.ParseProblem(status, body))(t)
		if status != http.StatusNotFound || problem.Title != "Registration Failed" {
			t.Errorf("its receipt: %v", problem)
		}
	}
	checker.Check(t, receipts)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	register("after")
	status, body, err := p.post(t.Context(), lost, "wait=10")
	if err != nil || status != http.StatusCreated {
		t.Errorf("the same statement, with room: %d %q %v", status, body, err)
	}
	receipts[string(lost)] = body
	checker.Check(t, receipts)
}

func TestReadOnlyDisk(t *testing.T) {
	p, dir := ownDisk(t, "8m")
	checker := p.checker(dir)
	key := testlog.Key(t, "ES256")
	pid := strconv.Itoa(p.cmd.Process.Pid)
	data := strings.TrimPrefix(dir, "/proc/"+pid+"/root")
	// Within the service's namespace: nothing under the two directories of the
	// log can be written, as after an error of the disk.
	run := func(args ...string) {
		t.Helper()
		enter := []string{"-t", pid, "-m"}
		if os.Getuid() != 0 {
			enter = append(enter, "-U", "--preserve-credentials")
		}
		if out, err := exec.Command("nsenter", append(enter, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	logDirs := []string{filepath.Join(data, "public"), filepath.Join(data, "private", "tessera")}
	for _, d := range logDirs {
		run("mount", "--bind", d, d)
		run("mount", "-o", "remount,bind,ro", d)
	}
	statement := testlog.Statement(t, key, "asset", nil)
	refused(t, p, statement, "read-only file system")
	checker.Check(t, nil)
	for _, d := range logDirs {
		run("umount", d)
	}
	status, body, err := p.post(t.Context(), statement, "wait=10")
	if err != nil || status != http.StatusCreated {
		t.Fatalf("writable again: %d %q %v\n%s", status, body, err, p.stderr)
	}
	checker.Check(t, map[string][]byte{string(statement): body})
}
