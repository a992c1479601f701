package testwait

import (
	"os"

	"golang.org/x/sys/unix"
)

// leastMemory is how much room a file system in memory has for tests to use it, in bytes.
const leastMemory = 4 << 30

// inMemory has the temporary directories of tests in memory, where this machine has a file
// system for that: what tests of files take is mostly the disk's. Tests of crashes end
// processes and not the machine, and find the same there.
func inMemory() {
	const dir = "/dev/shm"
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil || s.Type != unix.TMPFS_MAGIC || s.Flags&unix.ST_NOEXEC != 0 ||
		s.Bavail*uint64(s.Bsize) < leastMemory || unix.Access(dir, unix.W_OK) != nil {
		return
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		panic(err) // not with this name
	}
}
