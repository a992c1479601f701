// Command conmotiond runs a SCITT Transparency Service over a tiled
// transparency log on this machine's disk.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/conmotion/conmotion/internal/printable"
)

func main() {
	os.Exit(Main())
}

// Main runs the command and gives its exit code.
func Main() int {
	// The first signal drains, the second kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()
	if err := command(os.Stdout, os.Stderr).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "conmotiond:", printable.Message(err.Error()))
		return 1
	}
	return 0
}
