//go:build unix

// Package testcpu measures what work costs of a processor, for tests and benchmarks that hold it to what a signature costs
// on the same machine at the same time: machines differ, and one that others use too is not as fast at the end of a
// run as at its beginning.
package testcpu

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Process is the processor time that this process has used so far, on all cores.
func Process(t testing.TB) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Error(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
