package parts

import (
	"os/exec"
	"syscall"
)

// endWithParent has a server end also when the test is killed.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
