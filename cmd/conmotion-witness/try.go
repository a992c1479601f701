package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/witness/cosigner"
)

type tryFlags struct {
	dir, policy, listen string
	witnesses, needed   int
}

func tryCommand(a *cli.App) *cobra.Command {
	var f tryFlags
	cmd := &cobra.Command{
		Use: "try VKEY|URL|DIR", Short: "Run several witnesses of a log on this machine, to try what a quorum is",
		Long: `Run several witnesses of a log on this machine, each with keys and a database of its
own, and write the policy that demands some of them. A service takes it with
--witness-policy, and so does whoever reads the log.

They are one party, whoever started them: a quorum that means something has witnesses
of different operators.`,
		Example: `  conmotion-witness try conmotion-data/public
  conmotion-witness try --witnesses 5 --needed 3 http://127.0.0.1:8080`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return tryOut(cmd.Context(), a, f, args[0]) },
	}
	cmd.Flags().StringVar(&f.dir, "dir", "conmotion-witnesses", "directory with a directory for each witness")
	cmd.Flags().StringVar(&f.policy, "policy", "witness-policy", "file for the policy; one that is there is replaced")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8091", "address of the first witness; the others have the ports after it, or free ones with port 0")
	cmd.Flags().IntVar(&f.witnesses, "witnesses", 3, "how many there are")
	cmd.Flags().IntVar(&f.needed, "needed", 2, "how many of them have to cosign")
	return cmd
}

// Tried is what try prints when the witnesses run.
type Tried struct {
	Witnesses []TriedWitness `json:"witnesses"`
	Needed    int            `json:"needed"`
	Policy    string         `json:"policy"` // file
}

// TriedWitness is one of them.
type TriedWitness struct {
	Name string `json:"name"`
	VKey string `json:"vkey"`
	URL  string `json:"url"`
}

// tryOut runs the witnesses until the context ends or one of them fails.
func tryOut(ctx context.Context, a *cli.App, f tryFlags, log string) error {
	host, first, err := net.SplitHostPort(f.listen)
	port, err2 := strconv.Atoi(first)
	if err := errors.Join(err, err2); err != nil {
		return cli.Usage(fmt.Errorf("--listen: %w", err))
	}
	if f.needed < 1 || f.needed > f.witnesses {
		return cli.Usage(errors.New("--needed is at least 1 and at most --witnesses"))
	}
	witnesses := make([]serveFlags, f.witnesses)
	for i := range witnesses {
		name, one := fmt.Sprint("w", i+1), &witnesses[i]
		flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
		one.add(flags)
		one.dir, one.name, one.server.Listen = filepath.Join(f.dir, name), "localhost/"+name, net.JoinHostPort(host, first)
		if port != 0 {
			one.server.Listen = net.JoinHostPort(host, strconv.Itoa(port+i))
		}
		if err := one.server.Complete(ctx, flags, a.Stderr); err != nil {
			return err
		}
		if _, err := addLog(ctx, a, logFlags{dir: one.dir, contact: byHand, perDay: perDay}, log); err != nil {
			return err
		}
	}
	all, ctx := errgroup.WithContext(ctx)
	out, started := Tried{make([]TriedWitness, f.witnesses), f.needed, f.policy}, make(chan struct{}, f.witnesses)
	for i, one := range witnesses {
		all.Go(func() error {
			return serve(ctx, one, func(w *cosigner.Witness, url string) {
				out.Witnesses[i] = TriedWitness{fmt.Sprint("w", i+1), w.VKeys()[0], url}
				started <- struct{}{}
			})
		})
	}
	all.Go(func() error {
		var lines, names strings.Builder
		for i := range out.Witnesses {
			select {
			case <-started:
			case <-ctx.Done():
				return nil
			}
			fmt.Fprint(&names, " w", i+1)
		}
		for _, w := range out.Witnesses {
			fmt.Fprintf(&lines, "witness %s %s %s\n", w.Name, w.VKey, w.URL)
		}
		policy := fmt.Sprintf("%sgroup them %d%s\nquorum them\n", &lines, f.needed, &names)
		if err := durable.WriteFile(f.policy, []byte(policy), 0o644); err != nil {
			return fmt.Errorf("--policy: %w", err)
		}
		return a.Print(out, func(p *cli.Page) {
			p.Line("%d witnesses, of which %d have to cosign: %s", f.witnesses, f.needed, f.policy)
			p.Line("try")
			p.Line("  go run ./cmd/conmotiond --witness-policy %s", f.policy)
		})
	})
	return all.Wait()
}
