package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/witness/audit"
)

// policyShowFlags are the flags of policy show.
type policyShowFlags struct {
	logFlags
	at           uint64
	byIndex      bool
	list         bool
	edit, schema string
}

func (a *app) policyShow() *cobra.Command {
	var f policyShowFlags
	cmd := &cobra.Command{
		Use: "show (--log URL | --static URL-or-DIR)", Short: "Show the policy that is in force, or was",
		Long: `Show the policy of a log that judges the entry at an index, by default the next
one that is registered. It is found in the log itself: the checkpoint is
verified, and from the first entry on each policy is held to the one before it,
as the service had to. A policy that should not be in the log is reported, is
not taken to be in force, and leads to exit code 1.

With --edit the document goes to a file, to be changed and put in force with
conmotion policy set. Its "previous" names the policy that it was made from, so
that it is refused when another change came first.`,
		Example: `  conmotion policy show --log http://127.0.0.1:8080
  conmotion policy show --static conmotion-data/public --at 17
  conmotion policy show --static https://transparency.example --list
  conmotion policy show --log http://127.0.0.1:8080 --edit policy.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.byIndex = cmd.Flags().Changed("at")
			return a.runPolicyShow(cmd.Context(), f)
		},
	}
	f.add(cmd)
	schemaFlag(cmd, &f.schema)
	fl := cmd.Flags()
	fl.Uint64Var(&f.at, "at", 0, "index of the entry that the policy judges (default: the next one)")
	fl.BoolVar(&f.list, "list", false, "list all policies with the entries that they judge")
	fl.StringVar(&f.edit, "edit", "", `file for the document, to be edited, or "-"`)
	cmd.MarkFlagsOneRequired("log", "static")
	cmd.MarkFlagsMutuallyExclusive("at", "list")
	cmd.MarkFlagsMutuallyExclusive("edit", "list")
	return cmd
}

func (a *app) runPolicyShow(ctx context.Context, f policyShowFlags) error {
	schema, err := loadSchema(ctx, f.schema)
	if err != nil {
		return err
	}
	log, err := a.openLog(ctx, f.location(), readFlags{MemoryFlags: f.MemoryFlags})
	if err != nil {
		return err
	}
	var at *uint64
	if f.byIndex {
		at = &f.at
	}
	h, err := a.policiesOf(ctx, log, at, schema, nil)
	if err != nil {
		return err
	}
	_, err = a.named(h)
	switch {
	case f.list:
		err = a.printPolicies(h)
	case err != nil:
	case f.edit != "":
		err = a.editPolicy(ctx, h, f.edit)
	default:
		err = a.printPolicy(h, h.Size == log.Checkpoint.Size)
	}
	return errors.Join(err, verdict(h))
}

// policyList are all policies of a log.
type policyList struct {
	Log       string            `json:"log"`
	Size      uint64            `json:"size"`
	Policies  []audit.LogPolicy `json:"policies"`
	Misplaced []audit.Refused   `json:"misplaced"`
}

// shownPolicy is one policy with its document.
type shownPolicy struct {
	Log string `json:"log"`
	audit.LogPolicy
	Document  json.RawMessage `json:"document"`
	Misplaced []audit.Refused `json:"misplaced"`
}

func (a *app) printPolicies(h *audit.History) error {
	policies, rows := []audit.LogPolicy{}, [][]string{{"INDEX", "JUDGES", "ENTRY ID", "SIGNED", "BY"}}
	for _, in := range h.Policies {
		p := in.Describe()
		policies = append(policies, p)
		rows = append(rows, []string{fmt.Sprint(p.Index), p.Judges(), p.EntryID, p.Signed, p.SignedBy()})
	}
	return a.Print(policyList{h.Origin, h.Size, policies, append([]audit.Refused{}, h.Refused...)}, cli.Rows(rows))
}

// printPolicy prints the last policy; whole says that the whole log was read.
func (a *app) printPolicy(h *audit.History, whole bool) error {
	p, document := h.Last().Describe(), h.Last().Statement.Payload
	judges := p.Judges()
	if !whole {
		// Whether another one follows was not looked at.
		judges = fmt.Sprintf("entry %d, and all since entry %d", h.Size, p.From)
	}
	pretty, err := indented(document)
	if err != nil {
		return err
	}
	return a.Print(shownPolicy{h.Origin, p, document, append([]audit.Refused{}, h.Refused...)}, func(page *cli.Page) {
		page.Rows([][]string{
			{"policy", p.EntryID}, {"log", h.Origin}, {"index", fmt.Sprint(p.Index)}, {"judges", judges},
			{"signer", p.SignedBy()}, {"signed", p.Signed}, {"previous", cmp.Or(p.Previous, "none")}, {"hash", p.Hash},
		})
		page.Raw("\n" + string(pretty))
	})
}

// editPolicy writes the document as one that replaces itself.
func (a *app) editPolicy(ctx context.Context, h *audit.History, path string) error {
	document, err := policy.WithPrevious(h.Last().Statement.Payload, h.InForce().Entry)
	if err != nil {
		return err
	}
	if document, err = indented(document); err != nil {
		return err
	}
	return a.WriteOutput(ctx, path, document)
}

func indented(document []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, document, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
