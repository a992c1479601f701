package main

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

// tuneMemory sets what the process takes at most, and bounds what clients can take
// of it. The machine's part leaves room for its cache of files and for others.
// Garbage collection runs less often than Go's default while there is room: the
// service allocates much and keeps little. GOGC wins.
func (c *config) tuneMemory() error {
	if c.memory == 0 && os.Getenv("GOMEMLIMIT") != "" {
		if c.memory = debug.SetMemoryLimit(-1); c.memory == math.MaxInt64 { // GOMEMLIMIT=off
			c.memory = 0
		}
	}
	if c.memory == 0 {
		most, err := memlimit.ApplyRatio(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem), 0.75)()
		if err != nil {
			return fmt.Errorf("--memory is needed, since the machine does not say how much it has: %w", err)
		}
		c.memory = int64(most)
	}
	if c.memory < leastMemory {
		return fmt.Errorf("--memory: %d bytes are not enough; the least is %d", c.memory, leastMemory)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	debug.SetMemoryLimit(c.memory)
	c.BodyMemory = c.memory / 8
	c.Logger.Info("memory", "limit", c.memory, "bodies", c.BodyMemory)
	return nil
}
