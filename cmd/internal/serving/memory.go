package serving

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"

	"github.com/conmotion/conmotion/cmd/internal/cli"
)

const (
	// leastMemory is what the service needs for itself, in bytes.
	leastMemory = 128 << 20
	// perConnection is what a client with one connection takes at most, its
	// share of --memory's bodies aside.
	perConnection = 128 << 10
)

// TuneMemory sets what the process takes at most, which is what clients can take of
// it: see [cli.LimitMemory]. A server allocates much and keeps little.
func (o *Options) TuneMemory() error {
	if o.Memory == 0 && os.Getenv("GOMEMLIMIT") != "" {
		if o.Memory = debug.SetMemoryLimit(-1); o.Memory == math.MaxInt64 { // GOMEMLIMIT=off
			o.Memory = 0
		}
	}
	if o.Memory == 0 {
		var err error
		if o.Memory, err = cli.MachineMemory(); err != nil {
			return fmt.Errorf("--memory is needed, since the machine does not say how much it has: %w", err)
		}
	}
	if o.Memory < leastMemory {
		return fmt.Errorf("--memory: %d bytes are not enough; the least is %d", o.Memory, leastMemory)
	}
	cli.LimitMemory(o.Memory)
	o.Logger.Info("memory", "limit", o.Memory)
	return nil
}
