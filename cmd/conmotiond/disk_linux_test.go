package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

// ownDisk starts a service on a disk of its own of this size, in a mount
// namespace, and gives the directory as this process sees it.
func ownDisk(t *testing.T, size string, args ...string) (p *process, disk string) {
	t.Helper()
	dir := t.TempDir()
	p = start(t, []string{mountTmpfs + "=" + dir + "=" + size}, ownMounts(), append(args, "--dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")...)
	return p, filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", dir, "data")
}

// ownMounts gives a process mounts of its own.
func ownMounts() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// refused sends a statement that cannot be stored: a clear error, no receipt.
func refused(t *testing.T, p *process, statement []byte, want string) {
	t.Helper()
	status, body, err := p.post(t.Context(), statement, "wait=1")
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	problem := testlog.Must(scitt.ParseProblem(status, body))(t)
	if status != http.StatusServiceUnavailable || problem.Title != "Registration Failed" || !strings.Contains(problem.Detail, want) || strings.Contains(problem.Detail, " /") {
		t.Errorf("got %v, want 503 with %q and no path of this machine", problem, want)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	admin := testwait.Address(t)
	p, dir := ownDisk(t, "8m", "--admin-listen", admin, "--log-format", "json")
	checker := p.checker(dir)
	key := testlog.Key(t, "ES256")
	receipts := map[string][]byte{}
	register := func(content string) {
		t.Helper()
		statement := testlog.Statement(t, key, "asset", []byte(content))
		status, body, err := p.post(t.Context(), statement, "wait=60")
		if err != nil || status != http.StatusCreated {
			t.Fatalf("status %d %q, %v\n%s", status, body, err, p.stderr)
		}
		receipts[string(statement)] = body
	}
	register("before")
	// The index has no room for what it has not read yet, and until it has there is no word on what is registered.
	testwait.Until(t, func() bool {
		_, body := status(t, "http://"+admin+"/metrics")
		return strings.Contains(body, "conmotion_checkpoint_size 3") && strings.Contains(body, "conmotion_index_lag 0")
	}, "the index has read all entries")
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
		// Until the log has said what it holds, its registration runs.
		var status int
		var body []byte
		testwait.Until(t, func() bool {
			status, body = p.get("/entries/" + id.String())
			return status != http.StatusNoContent
		}, "the log says what it holds")
		problem := testlog.Must(scitt.ParseProblem(status, body))(t)
		if status != http.StatusNotFound || problem.Title != "Not Found" {
			t.Errorf("its receipt: %v", problem)
		}
	}
	checker.Check(t, receipts)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	register("after")
	status, body, err := p.post(t.Context(), lost, "wait=60")
	if err != nil || status != http.StatusCreated {
		t.Errorf("the same statement, with room: %d %q %v", status, body, err)
	}
	for line := range strings.Lines(p.stderr.String()) { // the engine's too
		if !strings.HasPrefix(line, `{"time":`) {
			t.Errorf("--log-format json: %q", line)
		}
	}
	receipts[string(lost)] = body
	checker.Check(t, receipts)
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
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
	status, body, err := p.post(t.Context(), statement, "wait=60")
	if err != nil || status != http.StatusCreated {
		t.Fatalf("writable again: %d %q %v\n%s", status, body, err, p.stderr)
	}
	checker.Check(t, map[string][]byte{string(statement): body})
}

// TestStartReadOnly: from a disk that cannot be written a service reads, says so,
// and changes nothing; and with the disk in order it goes on.
func TestStartReadOnly(t *testing.T) {
	t.Parallel()
	dir, admin := t.TempDir(), testwait.Address(t)
	args := []string{"--dir", dir, "--listen", testwait.Address(t), "--admin-listen", admin, "--search"}
	key := testlog.Key(t, "ES256")
	statement := testlog.Statement(t, key, "asset", []byte("before"))
	id := testlog.Must(scitt.ParseStatement(statement))(t).ID().String()
	ready := func() int {
		resp := testlog.Must(http.Get("http://" + admin + "/readyz"))(t)
		resp.Body.Close()
		return resp.StatusCode
	}
	p := start(t, nil, nil, args...)
	if status, body, err := p.post(t.Context(), statement, "wait=60"); err != nil || status != http.StatusCreated || ready() != http.StatusOK {
		t.Fatal(status, body, err, ready())
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p = start(t, []string{mountTmpfs + "=" + dir + "=ro"}, ownMounts(), args...)
	for _, path := range []string{"/checkpoint", "/tile/entries/000.p/3", "/.well-known/scitt-keys", "/entries/" + id, "/entries/" + id + "/statement", "/entries"} {
		if status, body := p.get(path); status != http.StatusOK {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	refused(t, p, testlog.Statement(t, key, "asset", []byte("meanwhile")), "read-only file system")
	if status, _, err := p.post(t.Context(), statement, "wait=60"); err != nil || status != http.StatusCreated {
		t.Errorf("what is registered: %d, %v", status, err)
	}
	if ready() != http.StatusServiceUnavailable {
		t.Error("it is ready")
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.stderr)
	}
	p = start(t, nil, nil, args...)
	if status, body, err := p.post(t.Context(), testlog.Statement(t, key, "asset", []byte("afterwards")), "wait=60"); err != nil || status != http.StatusCreated || ready() != http.StatusOK {
		t.Error(status, body, err, ready())
	}
}

// prepareDisk mounts what "directory=size" says, for a process that is to run
// on a disk of its own.
func prepareDisk(what string) error {
	dir, size, ok := strings.Cut(what, "=")
	if !ok {
		return nil
	}
	if size == "ro" { // what is there already, and nothing can be written
		if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
		return syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
}
