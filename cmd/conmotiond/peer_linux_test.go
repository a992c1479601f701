package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestPeer: the management socket lets in this user, and nobody else even
// where the mode of the socket does.
func TestPeer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	dir := testlog.Must(os.MkdirTemp("/tmp", "peer"))(t) // short, and everybody may enter it
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l := testlog.Must(listenSocket(t.Context(), path))(t)
	defer l.Close()
	if mode := testlog.Must(os.Stat(path))(t).Mode().Perm(); mode != 0o600 {
		t.Errorf("the socket has mode %v", mode)
	}
	for file, mode := range map[string]os.FileMode{dir: 0o755, path: 0o666} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	accepted := make(chan net.Conn)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	stranger := dialAs(t, path, 65534)
	defer stranger.Close()
	if err := stranger.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := stranger.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a stranger was not shown out: %d bytes, %v", n, err)
	}
	self := testlog.Must(net.Dial("unix", path))(t)
	defer self.Close()
	conn := <-accepted // the first that was let in is the second that came
	defer conn.Close()
	if uid, err := peer(conn); err != nil || uid != 0 {
		t.Errorf("the peer is %d, %v", uid, err)
	}
	l.Close()
	if _, open := <-accepted; open {
		t.Error("somebody else was let in")
	}
}

// dialAs connects as another user. Only one thread becomes that user, and it
// ends with its goroutine.
func dialAs(t *testing.T, path string, uid int) net.Conn {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		keep := ^uintptr(0) // -1: as it is
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			done <- result{nil, errno}
			return
		}
		conn, err := net.Dial("unix", path)
		done <- result{conn, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.conn
}
