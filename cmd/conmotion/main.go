// Command conmotion is the tool of those who use a Transparency Service: it
// makes, registers, verifies and inspects statements, and checks whole logs.
package main

import (
	"context"
	"os"

	"github.com/conmotion/conmotion/cmd/internal/cli"
)

func main() {
	os.Exit(Main())
}

// Main runs the command and gives its exit code.
func Main() int {
	return cli.Main(func(ctx context.Context, a *cli.App, args []string) int { return (&app{*a}).run(ctx, args) })
}
