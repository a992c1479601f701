// Package cli is what the commands of the tools share: how they print, which exit
// code an error has, and the flags for logs and storages.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/version"
	"github.com/conmotion/conmotion/monitor/party"
)

// App is what every command has: where to read and write, and the flags that
// all of them share.
type App struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	JSON           bool         // print JSON, for programs
	Home           string       // where --home does not say: see [MemoryFlags]
	Among          *party.Among // the logs that the command opens
	Names          party.Names  // of issuers and logs, for people
	given          []string     // --name
}

// Main runs a program and returns its exit code.
func Main(run func(ctx context.Context, a *App, args []string) int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal ends the work, the second the process
	defer stop()
	return run(ctx, &App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Home: os.Getenv("CONMOTION_HOME"), Among: &party.Among{}}, os.Args[1:])
}

// Group is a part of the help.
type Group struct {
	Title    string
	Commands []*cobra.Command
}

// Root makes the root command of a program out of what it says of itself.
func (a *App) Root(root *cobra.Command, groups ...Group) *cobra.Command {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.Args = cobra.NoArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().BoolVar(&a.JSON, "json", false, "print JSON, for programs")
	Strings(root.PersistentFlags(), &a.given, "name", nameHelp)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.readNames(cmd) }
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.Title, Title: g.Title})
		for _, c := range g.Commands {
			c.GroupID = g.Title
			root.AddCommand(c)
		}
	}
	root.AddCommand(&cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: "What the exit codes mean:\n\n" + exitHelp()})
	version.Add(root)
	return root
}

// Run runs a program with these arguments and returns its exit code.
func (a *App) Run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(a.Stderr, root.Name()+":", a.message(err.Error()))
	}
	return ExitCode(err)
}

// Require marks flags of a command as required.
func Require(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag does not exist: a mistake in the command
		}
	}
}
