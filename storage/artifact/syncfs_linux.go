package artifact

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncAll gives what syncs the file system of a directory, and what ends that.
// syncfs(2): since Linux 5.8 it "will report an error if one or more of its
// inodes have failed to write back"; on an older kernel it is not used.
func syncAll(dir string) (all, release func() error, err error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil || !atLeast(unix.ByteSliceToString(name.Release[:]), 5, 8) {
		return nil, nil, err
	}
	root, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	return func() error { return os.NewSyscallError("syncfs", unix.Syncfs(int(root.Fd()))) }, root.Close, nil
}
