package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/policy"
)

func (a *app) policyDiff() *cobra.Command {
	var f cli.MemoryFlags
	var schema string
	cmd := &cobra.Command{
		Use: "diff A B", Short: "Say what changes from one policy to another",
		Long: `Say what changes from one policy to another, a line for each value: "-" what B
takes away, "+" what it adds. A policy is a file, or URL-or-DIR[@INDEX]: the one
in force at that index of a log, by default at its end. The order of members,
white space and "previous" are no difference.

The exit code is 0 when both mean the same, 1 when they differ or a log is not
the one that was seen before, and 2 when one of them cannot be read.
` + cli.HomeHelp,
		Example: `  conmotion policy diff old.json new.json
  conmotion policy diff https://transparency.example new.json
  conmotion policy diff conmotion-data/public@2 conmotion-data/public`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runPolicyDiff(cmd.Context(), args[0], args[1], f, schema)
		},
	}
	f.Add(cmd)
	schemaFlag(cmd, &schema)
	return cmd
}

// policyDifference is what two policies differ in.
type policyDifference struct {
	A       string   `json:"a"`
	B       string   `json:"b"`
	Same    bool     `json:"same"`
	Changes []string `json:"changes"`
}

func (a *app) runPolicyDiff(ctx context.Context, from, to string, f cli.MemoryFlags, schemaPath string) error {
	schema, err := loadSchema(ctx, schemaPath)
	if err != nil {
		return err
	}
	var both [2]*namedPolicy
	for i, arg := range []string{from, to} {
		// Exit code 1 means different, so nothing else of a policy may have it.
		if both[i], err = a.loadPolicy(ctx, arg, f, schema); err != nil {
			return noVerdict(err)
		}
	}
	changes := append([]string{}, policy.Diff(both[0].Policy, both[1].Policy)...)
	err = a.Print(policyDifference{both[0].name, both[1].name, len(changes) == 0, changes}, showChanges(changes))
	if err == nil && len(changes) > 0 {
		err = cli.Bad(fmt.Errorf("%s and %s differ", both[0].name, both[1].name))
	}
	return err
}

// showChanges shows a line for each change.
func showChanges(changes []string) func(*cli.Page) {
	return func(p *cli.Page) {
		for _, line := range changes {
			p.Line("%s", line)
		}
	}
}
