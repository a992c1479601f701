package serving

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// leastMemory is what the service needs for itself, in bytes.
	leastMemory = 128 << 20
	// perConnection is what a client with one connection takes at most, its
	// share of --memory's bodies aside.
	perConnection = 128 << 10
)

// TuneMemory sets what the process takes at most, which is what clients can take of
// it. The machine's part leaves room for its cache of files and for others.
// Garbage collection runs less often than Go's default while there is room: a
// server allocates much and keeps little. GOGC wins.
func (o *Options) TuneMemory() error {
	if o.Memory == 0 && os.Getenv("GOMEMLIMIT") != "" {
		if o.Memory = debug.SetMemoryLimit(-1); o.Memory == math.MaxInt64 { // GOMEMLIMIT=off
			o.Memory = 0
		}
	}
	if o.Memory == 0 {
		most, err := memlimit.ApplyRatio(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem), 0.75)()
		if err != nil {
			return fmt.Errorf("--memory is needed, since the machine does not say how much it has: %w", err)
		}
		o.Memory = int64(most)
	}
	if o.Memory < leastMemory {
		return fmt.Errorf("--memory: %d bytes are not enough; the least is %d", o.Memory, leastMemory)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	debug.SetMemoryLimit(o.Memory)
	o.Logger.Info("memory", "limit", o.Memory)
	return nil
}
