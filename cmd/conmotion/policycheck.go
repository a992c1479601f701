package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/policy"
)

func (a *app) policyCheck() *cobra.Command {
	var schema string
	var strict bool
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Check policy documents",
		Long: `Check policy documents: read them, compile their rules, and print what is wrong
with its line and column (which counts bytes). Warnings are about what is valid
but probably not intended, such as a policy that locks everyone out; they are no errors
unless --strict says so. "-" is standard input.`,
		Example: `  conmotion policy check policy.json
  conmotion policy check --strict --json policies/*.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runPolicyCheck(cmd.Context(), args, schema, strict)
		},
	}
	schemaFlag(cmd, &schema)
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as errors")
	return cmd
}

// policyReport is what check found about one document.
type policyReport struct {
	File string `json:"file"`
	policy.Checked
}

func (a *app) runPolicyCheck(ctx context.Context, files []string, schemaPath string, strict bool) error {
	schema, err := loadSchema(ctx, schemaPath)
	if err != nil {
		return err
	}
	failed := 0
	for _, file := range files {
		data, err := a.ReadInput(ctx, file)
		if err != nil {
			return err
		}
		r := policyReport{file, policy.Check(data, schema.options...)}
		if !r.Valid || (strict && len(r.Warnings) > 0) {
			failed++
		}
		if err := a.PrintLine(r, r.show); err != nil {
			return err
		}
	}
	switch {
	case failed == 0:
		return nil
	case len(files) == 1 && strict:
		return cli.Bad(fmt.Errorf("%s has errors or warnings", files[0]))
	case len(files) == 1:
		return cli.Bad(fmt.Errorf("%s is not a valid policy", files[0]))
	}
	return cli.Bad(fmt.Errorf("%d of %d policies did not pass", failed, len(files)))
}

// show shows the report in lines that begin with the file, as compilers write them.
func (r policyReport) show(p *cli.Page) {
	for _, e := range r.Errors {
		p.Message("%s", e.In(r.File))
	}
	for _, w := range r.Warnings {
		p.Line("%s: warning: %s", r.File, w)
	}
	if r.Valid {
		p.Line("%s: valid, %s, hash %s", r.File, plural.Of(len(r.Warnings), "warning"), r.Hash)
	}
}
