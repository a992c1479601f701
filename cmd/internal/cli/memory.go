package cli

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// MachineMemory is how much a process may take of its machine or container, in bytes:
// three quarters leave room for the cache of files and for others.
func MachineMemory() (int64, error) {
	most, err := memlimit.ApplyRatio(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem), 0.75)()
	return int64(most), err
}

// LimitMemory sets what the process takes at most, in bytes. Garbage is collected less
// often than Go's default while there is room. GOGC wins.
func LimitMemory(most int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	debug.SetMemoryLimit(most)
}
