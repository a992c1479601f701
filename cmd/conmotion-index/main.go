// Command conmotion-index makes search indexes of any log, from its static files,
// and searches them.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver of SQLite

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/searching"
)

func main() {
	os.Exit(cli.Main(run))
}

func run(ctx context.Context, a *cli.App, args []string) int { return a.Run(ctx, root(a), args) }

func root(a *cli.App) *cobra.Command {
	return a.Root(&cobra.Command{
		Use: "conmotion-index", Short: "Index any log, and search it",
		Long: `conmotion-index has a search index of your own, of any log: neither the operator of
the log nor its search service has to be asked.`,
		Example: `  conmotion-index update https://transparency.example --db search.db
  conmotion-index search --db search.db --iss https://provider.example --order desc`,
	}, cli.Group{Title: "Commands:", Commands: []*cobra.Command{update(a), searching.Command(a, inFile)}})
}
