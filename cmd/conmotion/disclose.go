package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

type discloseFlags struct {
	cli.MemoryFlags
	fields []string
	out    string
}

func (a *app) disclose() *cobra.Command {
	var f discloseFlags
	cmd := &cobra.Command{
		Use: "disclose STATEMENT|HASH [--field PATH... --out FILE]", Short: "Show hidden fields of a record to somebody",
		Long: `Write a file that shows fields of a record which was registered with --disclosable,
for whoever it concerns. It has the record as it was signed and the values of the fields
that --field names, and of no other: verify --disclosed and compare --disclosed hold each
to the digest that was signed. Whoever has the file can show these values to others.

The record is named by its statement, or by the SHA-256 of what was signed. --field is
the end of a path, such as environment.variables.REGION, or a whole path as it is
listed, which names one element of an array. Without it the paths of all hidden fields
are listed, and nothing is written. The values come from the home, where record and
import keep them.`,
		Example: `  conmotion disclose transparent.cose
  conmotion disclose transparent.cose --field environment.variables.REGION --out for-the-auditor.json
  conmotion verify --log https://transparency.example --disclosed for-the-auditor.json transparent.cose`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runDisclose(cmd.Context(), f, args[0]) },
	}
	cmd.Flags().StringVar(&f.Home, "home", "", "directory with the hidden values (default: $CONMOTION_HOME, or conmotion in the user's configuration directory)")
	cli.Strings(cmd.Flags(), &f.fields, "field", "field to show: the end of its path, or all of it from $ on; once for each")
	cmd.Flags().StringVar(&f.out, "out", "", `file for the record and the values, or "-"`)
	cmd.MarkFlagsRequiredTogether("field", "out")
	return cmd
}

// disclosed is what disclose shows or could show.
type disclosed struct {
	Payload  string   `json:"payload"` // its SHA-256
	Fields   []string `json:"fields"`  // paths of hidden fields; those that are shown where a file was written
	Redacted []string `json:"redacted,omitempty"`
	Out      string   `json:"out,omitempty"`
}

func (a *app) runDisclose(ctx context.Context, f discloseFlags, name string) error {
	digest, err := reader.ParseDigest(name)
	if err != nil {
		if digest, err = a.payloadOf(ctx, name); err != nil {
			return err
		}
	}
	home, err := a.HomeOf(f.Home)
	if err != nil {
		return err
	}
	d, err := home.Disclosures(digest)
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Usage(fmt.Errorf("no hidden values of %s are in %s: recording the same event again with the same disclosure.key makes them anew", digest, home))
	}
	if err != nil {
		return cli.Usage(err)
	}
	if len(f.fields) > 0 {
		if d, err = d.Only(f.fields...); err != nil {
			return cli.Usage(fmt.Errorf("--field %w", err))
		}
	}
	opened, err := d.Open()
	if err != nil {
		return err
	}
	said := disclosed{Payload: digest.String(), Fields: []string{}, Redacted: opened.Redacted, Out: f.out}
	rows := [][]string{}
	for _, field := range opened.Fields {
		said.Fields = append(said.Fields, field.Path)
		rows = append(rows, []string{"field", field.Path})
	}
	if f.out != "" {
		file, err := d.Marshal()
		if err != nil {
			return err
		}
		if err := a.WriteOutput(ctx, f.out, append(file, '\n')); err != nil || f.out == "-" {
			return err
		}
		rows = append(rows, []string{"wrote", f.out})
	}
	return a.Print(said, cli.Rows(rows))
}

// payloadOf is the digest of what a statement in a file signs.
func (a *app) payloadOf(ctx context.Context, path string) (reader.Digest, error) {
	st, err := a.readStatement(ctx, path)
	if err != nil {
		return reader.Digest{}, cli.Usage(err)
	}
	digest, ok := st.ContentSHA256()
	if !ok {
		return digest, cli.Usage(fmt.Errorf("%s: it does not sign a SHA-256", path))
	}
	return digest, nil
}

// readDisclosed reads what disclose wrote.
func readDisclosed(ctx context.Context, path string) (*disclosure.Document, error) {
	data, err := cli.ReadFileFlag(ctx, "disclosed", path)
	if err != nil {
		return nil, err
	}
	d, err := disclosure.Parse(data)
	if err != nil {
		return nil, cli.Bad(fmt.Errorf("--disclosed %s: %w", path, err))
	}
	return d, nil
}
