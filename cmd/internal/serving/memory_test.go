package serving

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestTuneMemory: the flag says how much memory the process takes, else GOMEMLIMIT, else
// what the cgroup or the machine has.
func TestTuneMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	machine := testlog.Must(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)())(t)
	for name, c := range map[string]struct {
		flag        int64
		environment string // GOMEMLIMIT, which Go itself reads before a program begins
		limit       int64  // what it has made of it
		want        int64  // 0: refused
	}{
		"flag":                {200 << 20, "300MiB", 300 << 20, 200 << 20},
		"GOMEMLIMIT":          {0, "300MiB", 300 << 20, 300 << 20},
		"GOMEMLIMIT=off":      {0, "off", math.MaxInt64, int64(machine / 4 * 3)},
		"the machine":         {0, "", math.MaxInt64, int64(machine / 4 * 3)},
		"too little":          {leastMemory - 1, "", math.MaxInt64, 0},
		"too little, by Go's": {0, "1MiB", 1 << 20, 0},
	} {
		t.Setenv("GOMEMLIMIT", c.environment)
		debug.SetMemoryLimit(c.limit)
		o := &Options{Memory: c.flag, Logger: slog.New(slog.DiscardHandler)}
		err := o.TuneMemory()
		if c.want == 0 {
			if err == nil {
				t.Errorf("%s: taken", name)
			}
			continue
		}
		if now := debug.SetMemoryLimit(-1); err != nil || now != o.Memory || max(now, c.want)-min(now, c.want) > 4 {
			t.Errorf("%s: %d of %d, and --memory counts as %d: %v", name, now, c.want, o.Memory, err)
		}
	}
}
