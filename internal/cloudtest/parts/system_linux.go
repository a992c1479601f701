package parts

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// endWithParent has a server end also when the test is killed, and not with Ctrl-C: who
// uses it ends first.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// hasAttributes reports whether files in a directory can have extended attributes.
func hasAttributes(dir string) bool {
	return unix.Setxattr(dir, "user.conmotion", []byte("1"), 0) == nil
}
