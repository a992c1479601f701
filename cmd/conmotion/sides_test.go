package main

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
)

// TestLimitMemory: a command that replays takes what its limit or the machine allows, or what GOMEMLIMIT says.
func TestLimitMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for environment, want := range map[string]int64{"": min(memoryLimit, testlog.Must(cli.MachineMemory())(t)), "64MiB": math.MaxInt64} {
		t.Setenv("GOMEMLIMIT", environment) // which Go itself reads before a program begins
		debug.SetMemoryLimit(math.MaxInt64)
		if limitMemory(); debug.SetMemoryLimit(-1) != want {
			t.Errorf("GOMEMLIMIT=%s: the limit is %d, not %d", environment, debug.SetMemoryLimit(-1), want)
		}
	}
}
