package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
)

// fault is a system call that fails: from the first'th of a thread on, and then
// every so many.
type fault struct {
	call, errno  string
	first, every int // every 0: once
}

func (f fault) String() string {
	s := fmt.Sprintf("%s:error=%s:when=%d", f.call, f.errno, f.first)
	if f.every > 0 {
		s += fmt.Sprintf("+%d", f.every)
	}
	return s
}

// failing are the system calls with which the service reaches its disk, and how
// each may fail.
var failing = map[string][]string{
	"fsync": {"EIO", "ENOSPC", "EDQUOT"}, "fdatasync": {"EIO"},
	"write": {"EIO", "ENOSPC", "EDQUOT"}, "pwrite64": {"EIO", "ENOSPC"},
	"openat": {"EIO", "EMFILE", "ENFILE", "EROFS", "ENOSPC", "EACCES"}, "close": {"EIO"},
	"renameat": {"EIO", "ENOSPC", "EROFS"}, "linkat": {"EIO"}, "unlinkat": {"EIO", "EROFS"}, "mkdirat": {"EIO", "ENOSPC"},
	"ftruncate": {"EIO"}, "fcntl": {"EIO", "ENOLCK"},
	"read": {"EIO"}, "pread64": {"EIO"}, "newfstatat": {"EIO"}, "fstat": {"EIO"}, "getdents64": {"EIO"},
}

// always are the faults of every run: those that once broke a log, and one of each
// call at the writing of a batch.
var always = []fault{
	{"fsync", "EIO", 1, 0}, {"fsync", "EIO", 2, 3}, {"fsync", "ENOSPC", 4, 5}, {"write", "ENOSPC", 5, 9}, {"pwrite64", "EIO", 3, 4},
	{"openat", "EMFILE", 4, 9}, {"openat", "EIO", 7, 0}, {"openat", "EROFS", 1, 1}, {"close", "EIO", 6, 11}, {"renameat", "EIO", 2, 3},
	{"renameat", "ENOSPC", 1, 1}, {"fcntl", "EIO", 2, 5}, {"read", "EIO", 9, 13}, {"newfstatat", "EIO", 3, 5},
}

// TestFaults has system calls fail under load, once and again and again, in one
// life of the service after the other. Whatever fails, and whether the service
// ends by it or not: the next start works, nothing that was acknowledged is lost,
// no id is twice in the log, and the audit is content.
func TestFaults(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not here")
	}
	faults := always
	if n, err := strconv.Atoi(os.Getenv("CONMOTION_FAULTS")); err == nil {
		faults = nil // a long run by hand
		for range n {
			faults = append(faults, anyFault())
		}
	}
	audit := auditor(t)
	dir := t.TempDir()
	args := []string{"--dir", dir, "--listen", testwait.Address(t), "--batch-max-age", "5ms", "--rate", "0", "--wait", "2s"}
	a := &acknowledged{receipts: map[string][]byte{}, faults: true}
	var checker *testlog.Checker
	hit, ended := 0, 0
	for i, f := range faults {
		p := start(t, nil, nil, args...)
		if checker == nil {
			checker = p.checker(dir)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		var group sync.WaitGroup
		group.Go(func() { a.load(ctx, t, p, 8) })
		injected := p.inject(ctx, f)
		hit += injected
		how := "it goes on"
		err := p.goesOn(ctx, a)
		cancel()
		group.Wait()
		// An index whose locks SQLite lost gets on at the next start only, and the end
		// waits for it.
		impatient := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
		switch stopped := p.signal(syscall.SIGTERM); {
		case errors.Is(err, errStuck):
			t.Error(err)
		case err != nil:
			ended++
			how = firstPanic(p.stderr.String())
		case stopped != nil:
			ended++
			how = "it goes on, and its end: " + stopped.Error()
		}
		impatient.Stop()
		t.Logf("%d %v: %d times; %d receipts, %d acceptances; %s", i, f, injected, len(a.receipts), len(a.accepted), how)
		if t.Failed() {
			t.Fatalf("%v\n%s", f, p.stderr)
		}
	}
	p := start(t, nil, nil, args...)
	a.check(t, p, checker)
	audit(dir)
	t.Logf("%d calls failed, %d of %d lives ended by it", hit, ended, len(faults))
	if hit < len(faults)/2 || len(a.receipts) < len(faults) {
		t.Errorf("%d calls failed, %d receipts: this was no test", hit, len(a.receipts))
	}
}

// firstPanic is why a process ended.
func firstPanic(stderr string) string {
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, "panic: ") || strings.Contains(line, "fatal error: ") {
			return line
		}
	}
	return stderr
}

func anyFault() fault {
	var calls []string
	for call := range failing {
		calls = append(calls, call)
	}
	call := calls[rand.IntN(len(calls))]
	f := fault{call, failing[call][rand.IntN(len(failing[call]))], 1 + rand.IntN(10), 0}
	if rand.IntN(2) == 0 {
		f.every = 1 + rand.IntN(20)
	}
	return f
}

// inject has calls of the process fail for a while, and returns how many did.
func (p *process) inject(ctx context.Context, f fault) (n int) {
	p.t.Helper()
	out := p.t.TempDir() + "/calls"
	said := &buffer{}
	cmd := exec.CommandContext(ctx, "strace", "-f", "-p", strconv.Itoa(p.cmd.Process.Pid), "-o", out, "-e", "trace="+f.call, "-e", "inject="+f.String())
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{}) // by itself, with the process
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it was interrupted
	}()
	injected := func() int {
		data, _ := os.ReadFile(out) // nothing yet
		return strings.Count(string(data), "(INJECTED)")
	}
	most := time.After(20 * time.Second) // some calls are not made so often
	for injected() == 0 {
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-ended:
		case <-most:
		case <-ctx.Done():
		}
		break
	}
	select { // and it goes on for a while
	case <-time.After(500 * time.Millisecond):
	case <-ended:
	}
	_ = cmd.Process.Signal(os.Interrupt) // it lets go, or it has ended
	// A process that dies while strace lets go of it can leave strace waiting for ever.
	hung := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	<-ended
	hung.Stop()
	if strings.Contains(said.String(), "Operation not permitted") {
		p.t.Skip("strace may not trace here: ", said)
	}
	return injected()
}

var errStuck = errors.New("it registers nothing")

// goesOn waits until a service whose disk is in order again registers, or has ended.
func (p *process) goesOn(ctx context.Context, a *acknowledged) error {
	p.t.Helper()
	statement := testlog.Statement(p.t, testlog.Key(p.t, "ES256"), "asset", nil)
	for ctx.Err() == nil {
		status, body, err := p.post(ctx, statement, "wait=2")
		if status == 201 {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.receipts[string(statement)] = body
			return nil
		}
		select {
		case ended := <-p.done:
			p.done <- ended
			return fmt.Errorf("it has ended: %w", ended)
		case <-time.After(50 * time.Millisecond):
		}
		_ = err
	}
	return errStuck
}
