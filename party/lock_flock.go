//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package party

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes a lock that the system gives back when the file is closed or
// the process ends in any way; ok is false when another process has it.
func tryLock(f *os.File) (ok bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
