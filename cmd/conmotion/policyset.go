package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// policySetFlags are the flags of policy set.
type policySetFlags struct {
	log, adminKey, iss, keys string // in band
	schema                   string
	dryRun                   bool
	timeout                  time.Duration
	cli.ManageFlags
	cli.MemoryFlags
}

func (a *app) policySet() *cobra.Command {
	var f policySetFlags
	cmd := &cobra.Command{
		Use: "set FILE", Short: "Put a policy in force",
		Long: `Put a policy in force. It is registered in the log as any statement, and judges
everything after it.

Out of band the service signs it. Its management interface is a Unix socket,
which lets in root and the user that the service runs as, or, with --manage, TLS
for clients that have a certificate.

In band, with --log and --admin-key, an administrator of the policy in force
signs it, and it is submitted as any statement. An administrator who signs with
a certificate uses conmotion sign and submit.

"previous" in the document names the policy that it replaces, and is filled in
when it is missing. One that is there must be the policy in force: so a change
that was made without knowing of another one is refused, and so is a policy of
the past. There is no confirmation prompt: with --dry-run nothing is changed, and the
document is checked and compared with the policy in force.
` + serviceHelp,
		Example: `  conmotion policy set --dry-run policy.json
  conmotion policy set policy.json
  conmotion policy set --socket /var/lib/conmotion/private/manage.sock policy.json
  conmotion policy set --manage https://log.internal:9443 --cert me.pem --key me-key.pem --ca ca.pem policy.json
  conmotion policy set --log https://transparency.example --admin-key admin.pem policy.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runPolicySet(cmd.Context(), f, args[0]) },
	}
	fl := cmd.Flags()
	f.ManageFlags.Add(cmd)
	fl.StringVar(&f.log, "log", "", "URL of the Transparency Service, to set the policy in band")
	fl.StringVar(&f.adminKey, "admin-key", "", "file with an administrator's private key, or its URI, like --key of sign; with --log")
	fl.StringVar(&f.iss, "iss", "", "issuer name of the administrator (default: the did:jwk of the key); with --log")
	fl.StringVar(&f.keys, "keys", "", "file with the service's keys, for the receipt (default: fetched from the service); with --log")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only check the document and compare it with the policy in force")
	fl.DurationVar(&f.timeout, "timeout", 2*time.Minute, "longest time to wait")
	schemaFlag(cmd, &f.schema)
	f.MemoryFlags.Add(cmd)
	cmd.MarkFlagsMutuallyExclusive("keys", "vkey")
	cmd.MarkFlagsMutuallyExclusive("socket", "manage", "log")
	return cmd
}

// policySetter is a way to a service.
type policySetter interface {
	inForce(ctx context.Context) (*party.PolicyInForce, error)
	set(ctx context.Context, p *policy.Policy, document []byte) (*policyChange, error)
}

// policyChange is what a change came to. It is also what the management
// interface answers.
type policyChange struct {
	EntryID  string   `json:"entry_id"` // of the policy in force now
	Index    uint64   `json:"index"`
	Previous string   `json:"previous,omitempty"`
	Warnings []string `json:"warnings"`
}

// wouldSet is what --dry-run says of a change.
type wouldSet struct {
	Replaces policyAt `json:"replaces"`
	Changes  []string `json:"changes"`
	Warnings []string `json:"warnings"`
}

type policyAt struct {
	EntryID string `json:"entry_id"`
	Index   uint64 `json:"index"`
}

func (a *app) runPolicySet(ctx context.Context, f policySetFlags, path string) error {
	schema, err := loadSchema(ctx, f.schema)
	if err != nil {
		return err
	}
	setter, err := a.policySetter(ctx, f)
	if err != nil {
		return err
	}
	document, err := a.ReadInput(ctx, path)
	if err != nil {
		return err
	}
	p, err := policy.Parse(document, schema.options...)
	if err != nil {
		return cli.Bad(invalidPolicy(path, err))
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if f.dryRun {
		return a.dryRun(ctx, setter, p, schema)
	}
	change, err := setter.set(ctx, p, document)
	if err != nil {
		return err
	}
	rows := [][]string{{"registered", change.EntryID}, {"index", fmt.Sprint(change.Index)}, {"previous", change.Previous}}
	for _, w := range change.Warnings {
		rows = append(rows, []string{"warning", w})
	}
	return a.Print(change, cli.Rows(rows))
}

func (a *app) policySetter(ctx context.Context, f policySetFlags) (_ policySetter, err error) {
	if (f.adminKey != "" || f.iss != "" || f.keys != "" || len(f.VKeys) > 0) && f.log == "" {
		return nil, cli.Usage(errors.New("--admin-key, --iss, --keys and --vkey are for a policy that is set in band, with --log"))
	}
	switch {
	case f.log == "":
		m, err := f.Open(ctx, "/policy")
		return managed{m}, err
	case f.Cert != "" || f.CA != "":
		return nil, cli.Usage(errors.New("--cert, --key and --ca are for the management interface over TLS, with --manage"))
	case f.adminKey == "" && !f.dryRun:
		return nil, cli.Usage(errors.New("--log needs --admin-key: the service does not sign what comes in band"))
	}
	s := &inBand{app: a, flags: f}
	if f.adminKey != "" {
		if s.key, err = a.privateKey(ctx, "admin-key", f.adminKey); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// dryRun says what setting the policy would do.
func (a *app) dryRun(ctx context.Context, setter policySetter, next *policy.Policy, schema eventSchema) error {
	now, err := setter.inForce(ctx)
	if err != nil {
		return err
	}
	changes := []string{}
	if now.EntryID != (scitt.EntryID{}) {
		current, err := policy.Parse(now.Document, schema.options...)
		if err != nil {
			return cli.Usage(invalidPolicy("the policy in force", err))
		}
		changes = append(changes, policy.Diff(current, next)...)
	}
	warned := next.Warnings()
	err = a.Print(wouldSet{policyAt{now.EntryID.String(), now.Index}, changes, warned}, func(p *cli.Page) {
		replaces := fmt.Sprintf("entry %d, %s", now.Index, now.EntryID)
		if now.EntryID == (scitt.EntryID{}) {
			replaces = "nothing: the log has no policy yet"
		}
		rows := [][]string{{"replaces", replaces}, {"changes", fmt.Sprint(len(changes))}}
		for _, w := range warned {
			rows = append(rows, []string{"warning", w})
		}
		p.Rows(rows)
		showChanges(changes)(p)
	})
	if previous, ok := next.Previous(); ok && previous != now.EntryID && err == nil {
		err = cli.Bad(fmt.Errorf(`it would be refused: its "previous" is %s, and the policy in force is %s`, previous, now.EntryID))
	}
	return err
}

// managed sets a policy through the management interface.
type managed struct{ *cli.Management }

func (m managed) inForce(ctx context.Context) (*party.PolicyInForce, error) {
	var answer struct {
		policyChange
		Document json.RawMessage `json:"document"`
	}
	if err := m.Do(ctx, http.MethodGet, "application/json", nil, &answer); err != nil {
		return nil, err
	}
	id, err := scitt.ParseEntryID(answer.EntryID)
	if err != nil {
		return nil, fmt.Errorf("the answer is not that of a management interface: %w", err)
	}
	return &party.PolicyInForce{EntryID: id, Index: answer.Index, Document: answer.Document}, nil
}

// set has the service sign the document, which fills in "previous" too.
func (m managed) set(ctx context.Context, _ *policy.Policy, document []byte) (*policyChange, error) {
	change := &policyChange{Warnings: []string{}}
	return change, m.Do(ctx, http.MethodPost, "application/json", document, change)
}

// inBand registers a policy as an administrator does.
type inBand struct {
	*app
	flags policySetFlags
	key   crypto.Signer // nil for a dry run
}

// open opens the service, if it has the log that it had.
func (s *inBand) open(ctx context.Context) (r *party.Registrar, now *party.PolicyInForce, err error) {
	o := party.RegistrarOptions{Services: []string{s.flags.log}}
	if s.key != nil {
		o.IssuerKey = &scitt.Key{Public: s.key.Public()}
	}
	var keys []string
	if s.flags.keys != "" {
		keys = []string{s.flags.keys}
	}
	if r, err = s.openServices(ctx, o, keys, s.flags.MemoryFlags, false); err == nil {
		now, err = r.PolicyInForce(ctx)
		err = cli.Usage(err) // no verdict on the policy
	}
	return r, now, err
}

func (s *inBand) inForce(ctx context.Context) (now *party.PolicyInForce, err error) {
	_, now, err = s.open(ctx)
	return now, err
}

func (s *inBand) set(ctx context.Context, p *policy.Policy, _ []byte) (*policyChange, error) {
	r, now, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	document, err := p.Replacing(now.EntryID)
	if err != nil {
		return nil, err
	}
	d, err := now.Sign(s.key, s.flags.iss, document, r.Now())
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("sign: %w", err))
	}
	o, err := s.register(ctx, r, d, "")
	if err != nil {
		return nil, err
	}
	at := o.At[0].Ref
	if at.Origin == "" {
		return nil, fmt.Errorf("%w: it does not say where the policy %s is", party.ErrReceipt, at.EntryID)
	}
	change := &policyChange{EntryID: at.EntryID, Index: at.Index, Warnings: p.Warnings()}
	if now.EntryID != (scitt.EntryID{}) {
		change.Previous = now.EntryID.String()
	}
	return change, nil
}
