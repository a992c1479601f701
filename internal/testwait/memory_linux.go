package testwait

import (
	"flag"
	"os"

	"golang.org/x/sys/unix"
)

// leastMemory is how much room a file system in memory has for tests to use it, in bytes.
const leastMemory = 4 << 30

// InMemory has the temporary directories of tests in memory, where this machine has a file
// system for that: what tests of files take is mostly the disk's. Tests of crashes end
// processes and not the machine, and find the same there. Benchmarks have theirs on the
// disk, and where TMPDIR is set it is as it says. It is for TestMain.
func InMemory() {
	const dir = "/dev/shm"
	flag.Parse()
	var s unix.Statfs_t
	if flag.Lookup("test.bench").Value.String() != "" || os.Getenv("TMPDIR") != "" || unix.Statfs(dir, &s) != nil || s.Type != unix.TMPFS_MAGIC || s.Flags&unix.ST_NOEXEC != 0 ||
		s.Bavail*uint64(s.Bsize) < leastMemory || unix.Access(dir, unix.W_OK) != nil {
		return
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		panic(err) // not with this name
	}
}
