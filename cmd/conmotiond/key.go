package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/kms"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/keys"
)

// keyCommand changes the keys of a service that runs.
func keyCommand(stdout io.Writer) *cobra.Command {
	k := &keyFlags{stdout: stdout}
	cmd := &cobra.Command{
		Use: "key", Short: "Change the keys of a log: rotation, compromise and recovery",
		Long: `key changes the keys of a log whose service runs, through its management
interface, and without a restart. Each change is a keys statement in the log,
which says all keys and which every reader of the log follows. docs/operate.md has
the calendar, and what to do step by step.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(k.list(), k.rotate(), k.retire(), k.recover(), k.register())
	return cmd
}

type keyFlags struct {
	stdout  io.Writer
	manage  cli.ManageFlags
	timeout time.Duration
	change  daemon.KeyChange
	daemon.Recovery
	out string
}

func (k *keyFlags) add(cmd *cobra.Command) *cobra.Command {
	k.manage.Add(cmd)
	cmd.Flags().DurationVar(&k.timeout, "timeout", 2*time.Minute, "longest time to wait")
	return cmd
}

func (k *keyFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.change.To, "to", "", "file of the new key, on the service's machine, or the URI of one in a KMS or an HSM (default: the service makes one in its directory; instances that share --keys have it there first)")
}

func (k *keyFlags) list() *cobra.Command {
	return k.add(&cobra.Command{
		Use: "list", Short: "Show all keys that the log announced, and the entries that each is for", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.do(cmd.Context(), http.MethodGet, "application/json", nil)
		},
	})
}

func (k *keyFlags) rotate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate receipt|note|pq-receipt|pq-note", Short: "Have another key sign from now on",
		Long: `rotate announces a new key, and has it sign from then on. The key before stays
announced, so that what it signed verifies for ever. Its file can be destroyed
when the command has ended; with witnesses, when they know the new note key.
A service key is replaced by a recovery key only: see conmotiond key recover.

pq-receipt and pq-note are keys of ML-DSA-44, for second Receipts and for a second
signature of checkpoints. A log has none before the first rotation, which switches
each on for what is registered before and after.`,
		Example: `  conmotiond key rotate receipt
  conmotiond key rotate pq-receipt
  conmotiond key rotate note --to /etc/conmotion/checkpoint-key-2027.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k.change.Rotate = args[0]
			return k.post(cmd.Context())
		},
	}
	k.addTo(cmd)
	return k.add(cmd)
}

func (k *keyFlags) retire() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retire KEY --compromised-at INDEX", Short: "Say that others may have a key of checkpoints or Receipts",
		Long: `retire says that others may have a key since the entry with this index was
registered, and replaces it where it still signs. What it signed proves nothing
alone from then on, whatever tree it names. KEY is its thumbprint, or the
beginning of it, as conmotiond key list shows it.`,
		Example: `  conmotiond key retire 1f2e3d4c --compromised-at 1200`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var now daemon.KeysResult
			if err := k.ask(cmd.Context(), http.MethodGet, "application/json", nil, &now); err != nil {
				return err
			}
			for _, key := range now.Keys {
				if !strings.HasPrefix(key.Thumbprint, args[0]) || args[0] == "" {
					continue
				}
				if k.change.Retire != "" {
					return fmt.Errorf("%s is the beginning of several keys", args[0])
				}
				k.change.Retire = key.Thumbprint
			}
			if k.change.Retire == "" {
				return fmt.Errorf("the log announces no key %s", args[0])
			}
			return k.post(cmd.Context())
		},
	}
	cmd.Flags().Uint64Var(&k.change.CompromisedAt, "compromised-at", 0, "index of the first entry for which others may have had the key")
	_ = cmd.MarkFlagRequired("compromised-at") // the flag is there
	k.addTo(cmd)
	return k.add(cmd)
}

func (k *keyFlags) recover() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recover --log DIR-or-URL --recovery-key FILE --next-recovery FILE --service-key FILE --out FILE", Short: "Sign a keys statement with a recovery key, offline",
		Long: `recover signs a keys statement that replaces the service key, and any other key,
with a recovery key. It needs no service, and no network where --log is a copy of
the log's files. Then put the new private keys where the service has its own, as
service-key-NAME.pem and the like, and register the statement with conmotiond key
register. A recovery key is used once; --next-recovery takes its place.`,
		Example: `  conmotiond key recover --log public --recovery-key recovery.pem --next-recovery recovery-2.pem \
      --service-key service-key-2.pem --compromised 5a6b...=1200 --out keys.cose`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := &cli.App{Stdin: cmd.InOrStdin(), Stderr: cmd.ErrOrStderr()}
			k.Open = func(ctx context.Context, flag, uri string) (crypto.Signer, error) {
				return a.OpenKey(ctx, flag, uri, kms.Openers())
			}
			k.Notice = a.Notice
			signed, err := daemon.Recover(cmd.Context(), k.Recovery)
			if err != nil {
				return err
			}
			if err := durable.WriteFile(k.out, signed, 0o600); err != nil {
				return err
			}
			_, err = fmt.Fprintf(k.stdout, "signed    %s   (register it with conmotiond key register, and destroy the recovery key that signed)\n", k.out)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.Log, "log", "", "files of the log: a directory or a URL")
	f.StringVar(&k.RecoveryKey, "recovery-key", "", "file of the recovery key that signs, or its URI")
	f.StringVar(&k.NextRecovery, "next-recovery", "", "file or URI of the next recovery key; its public half is enough")
	f.StringVar(&k.ServiceKey, "service-key", "", "file or URI of the new service key; its public half is enough")
	f.StringVar(&k.NoteKey, "note-key", "", "file or URI of the key that signs checkpoints from then on (default: no change)")
	f.StringVar(&k.ReceiptKey, "receipt-key", "", "file or URI of the key that signs Receipts from then on (default: no change)")
	cli.Strings(f, &k.Compromised, "compromised", "THUMBPRINT=INDEX of a key that others may have, from that entry on; may be repeated")
	f.StringVar(&k.out, "out", "", "file for the signed statement")
	for _, name := range []string{"log", "recovery-key", "next-recovery", "service-key", "out"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	return cmd
}

func (k *keyFlags) register() *cobra.Command {
	return k.add(&cobra.Command{
		Use: "register FILE", Short: "Register a keys statement that a recovery key signed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			signed, err := cli.ReadFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return k.do(cmd.Context(), http.MethodPost, "application/cose", signed)
		},
	})
}

func (k *keyFlags) post(ctx context.Context) error {
	if to := k.change.To; to != "" && keys.Scheme(to) == "file" {
		path, isURI := strings.CutPrefix(to, "file:")
		path, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		if k.change.To = path; isURI {
			k.change.To = "file:" + path
		}
	}
	body, err := json.Marshal(k.change)
	if err != nil {
		return err
	}
	return k.do(ctx, http.MethodPost, "application/json", body)
}

func (k *keyFlags) ask(ctx context.Context, method, kind string, body []byte, answer any) error {
	m, err := k.manage.Open(ctx, "/keys")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	return m.Do(ctx, method, kind, body, answer)
}

// do makes one request, and prints the keys.
func (k *keyFlags) do(ctx context.Context, method, kind string, body []byte) error {
	var r daemon.KeysResult
	if err := k.ask(ctx, method, kind, body, &r); err != nil {
		return err
	}
	w := tabwriter.NewWriter(k.stdout, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintf(w, "in force\tentry %d\t%s\n", r.Index, r.EntryID)
	for _, key := range r.Keys {
		valid := fmt.Sprintf("from entry %d", key.From)
		if key.To != nil {
			valid += fmt.Sprintf(" to %d", *key.To)
		}
		if key.Compromised != nil {
			valid += fmt.Sprintf(", compromised at %d", *key.Compromised)
		}
		_, werr := fmt.Fprintf(w, "%s\t%s\t%s\n", key.Purpose, valid, key.Thumbprint)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, w.Flush())
}
