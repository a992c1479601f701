package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/witness/audit"
)

func (a *app) policy() *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "Look at, try and change the Registration Policy of a log",
		Long: `Look at, try and change the Registration Policy of a log: the JSON document
(docs/policy.md) that says which statements the log admits. It is in the log
itself, and the last one before an entry is the one that judged it.`,
		Example: `  conmotion policy show --log http://127.0.0.1:8080 --edit policy.json
  conmotion policy check policy.json
  conmotion policy test --policy policy.json statements/*.cose
  conmotion policy diff http://127.0.0.1:8080 policy.json
  conmotion policy set policy.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.policyShow(), a.policyCheck(), a.policyTest(), a.policyDiff(), a.policySet())
	return cmd
}

// eventSchema is the OCSF schema that policies are read with; the zero value
// is the built-in one.
type eventSchema struct {
	options []policy.Option
	digest  string // SHA-256 of the file in hexadecimal
}

func schemaFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "ocsf-schema", "", "file with the compiled OCSF schema that the policy names (default: the built-in one)")
}

func loadSchema(ctx context.Context, path string) (eventSchema, error) {
	if path == "" {
		return eventSchema{}, nil
	}
	data, err := cli.ReadFileFlag(ctx, "ocsf-schema", path)
	if err != nil {
		return eventSchema{}, err
	}
	schema, err := ocsf.Load(bytes.NewReader(data))
	if err != nil {
		return eventSchema{}, cli.Usage(fmt.Errorf("--ocsf-schema %s: %w", path, err))
	}
	digest := sha256.Sum256(data)
	return eventSchema{[]policy.Option{policy.WithSchema(schema, digest)}, hex.EncodeToString(digest[:])}, nil
}

// logFlags say where a log is.
type logFlags struct {
	log, static string
	cli.MemoryFlags
}

func (f *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.log, "log", "", "URL of the Transparency Service, which shows its log's files")
	cmd.Flags().StringVar(&f.static, "static", "", "URL or directory with the log's files")
	f.MemoryFlags.Add(cmd)
	cmd.MarkFlagsMutuallyExclusive("log", "static")
}

// location is where the log's files are; "" when no flag says.
func (f *logFlags) location() string {
	if f.log != "" {
		return f.log
	}
	return f.static
}

// policyRef is what the argument for a policy names: a file, or a log.
type policyRef struct {
	file, log string
	at        *uint64 // an index of the log; nil for its end
}

// parsePolicyRef tells a file from URL-or-DIR[@INDEX].
func parsePolicyRef(arg string) policyRef {
	location, at := arg, (*uint64)(nil)
	if i := strings.LastIndexByte(arg, '@'); i > 0 {
		if index, err := strconv.ParseUint(arg[i+1:], 10, 64); err == nil {
			location, at = arg[:i], &index
		}
	}
	_, err := os.Stat(arg)
	switch {
	case strings.HasPrefix(arg, "http://"), strings.HasPrefix(arg, "https://"):
		return policyRef{log: location, at: at}
	case isDir(arg):
		return policyRef{log: arg}
	case at != nil && isMissing(err) && isDir(location):
		return policyRef{log: location, at: at}
	}
	return policyRef{file: arg}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// namedPolicy is a policy with where it is from.
type namedPolicy struct {
	*policy.Policy
	name    string
	history *audit.History // when it is a log's
}

// loadPolicy reads the policy that an argument names.
func (a *app) loadPolicy(ctx context.Context, arg string, f cli.MemoryFlags, schema eventSchema) (*namedPolicy, error) {
	ref := parsePolicyRef(arg)
	if ref.log == "" {
		p, err := a.readPolicy(ctx, ref.file, schema)
		return &namedPolicy{Policy: p, name: arg}, err
	}
	log, err := a.openLog(ctx, ref.log, readFlags{MemoryFlags: f})
	if err != nil {
		return nil, err
	}
	h, err := a.policiesOf(ctx, log, ref.at, schema, nil)
	if err != nil {
		return nil, err
	}
	return a.named(h)
}

// readPolicy reads a policy document in a file.
func (a *app) readPolicy(ctx context.Context, path string, schema eventSchema) (*policy.Policy, error) {
	data, err := a.ReadInput(ctx, path)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(data, schema.options...)
	if err != nil {
		return nil, cli.Bad(invalidPolicy(path, err))
	}
	return p, nil
}

// invalidPolicy names the place of everything that is wrong in a document.
func invalidPolicy(path string, err error) error {
	var lines []string
	for _, e := range policy.Errors(err) {
		lines = append(lines, e.In(path))
	}
	return errors.New(strings.Join(lines, "\n"))
}
