package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// What is said of a log that is added, unless flags do.
const (
	perDay = 864000
	byHand = "added by hand"
)

type logFlags struct {
	dir, origin, contact string
	perDay               uint64
}

func logCommand(a *cli.App) *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use: "log", Short: "Say which logs the witness cosigns",
		Long: `Say which logs the witness cosigns, besides those of --logs and --log-list. The list is
the file logs in the directory of the witness, so whoever may write there may change
it. A witness that runs takes a change within two seconds.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	add := &cobra.Command{
		Use: "add VKEY|URL|DIR", Short: "Cosign a log",
		Long: `Cosign a log, by its verifier key, or by where its files are, which say its keys
themselves: compare them with what its operator says elsewhere. A log that changes its
key is added again, by where its files are, which have to announce the new key with the
old one, or by the new key; both count until the old one is removed.`,
		Example: `  conmotion-witness log add https://transparency.example
  conmotion-witness log add --qpd 86400 log.example+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := addLog(cmd.Context(), a, f, args[0])
			return printLogs(a, list, err)
		},
	}
	add.Flags().StringVar(&f.origin, "origin", "", "origin of the log, the first line of its checkpoints (default: the name of the key)")
	add.Flags().Uint64Var(&f.perDay, "qpd", perDay, "checkpoints of the log that are cosigned in a day")
	add.Flags().StringVar(&f.contact, "contact", byHand, "whom to ask about the log, or the URL of its files")
	remove := &cobra.Command{
		Use: "remove ORIGIN|VKEY", Short: "Do not cosign a log, or one of its keys, any more",
		Long: `Do not cosign a log any more, or not with one of its keys. What was cosigned is
remembered: a log that is added again goes on from there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := removeLog(f, args[0])
			return printLogs(a, list, err)
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "Show the logs that were added", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list, err := readLogs(f.dir)
			return printLogs(a, list, err)
		},
	}
	cmd.PersistentFlags().StringVar(&f.dir, "dir", defaultDir, "directory of the witness")
	cmd.AddCommand(add, remove, list)
	return cmd
}

// Logs is what the commands print.
type Logs struct {
	Logs []Log `json:"logs"`
}

// Log is a log that the witness cosigns.
type Log struct {
	Origin  string   `json:"origin"`
	VKeys   []string `json:"vkeys"`
	PerDay  uint64   `json:"qpd"` // checkpoints a day
	Contact string   `json:"contact"`
}

// announced holds the keys that a log shows to those that are known of it: the keys statement with a
// known note key is in the log, and the statements behind it, each handed over by the key before,
// lead to the keys that are shown.
func announced(ctx context.Context, l *party.Log, known []string) error {
	if slices.Contains(known, scitt.NoteVKey(l.VKeys)) {
		return nil
	}
	other := fmt.Errorf("%s shows other keys than those that are known of %s, and does not announce them with one of those; log add VKEY adds a key that is known from elsewhere", l.Location, l.Checkpoint.Origin)
	if l.Configuration == nil {
		return cli.Bad(other)
	}
	all, err := l.View.FollowKeys(ctx, nil, l.Configuration.Keys)
	switch {
	case errors.Is(err, tiles.ErrKeys):
		return cli.Bad(fmt.Errorf("%w: %w", other, err))
	case err != nil:
		return err
	case !slices.ContainsFunc(all, func(k *scitt.KeysInForce) bool { return slices.Contains(known, k.Note[0]) }):
		return cli.Bad(other)
	}
	return nil
}

// addLog adds a log to the list, under each of its keys.
func addLog(ctx context.Context, a *cli.App, f logFlags, what string) (cosigner.List, error) {
	var shown *party.Log
	vkeys, origin, contact := []string{what}, f.origin, f.contact
	if info, err := os.Stat(what); strings.Contains(what, "://") || err == nil && info.IsDir() {
		l, err := party.Open(ctx, what, party.Options{Client: a.ClientOptions(1)})
		if err != nil {
			return nil, fmt.Errorf("%s does not say its keys; add the log by its verifier key: %w", what, err)
		}
		shown, vkeys, origin, contact = l, l.VKeys, l.Checkpoint.Origin, what
	}
	if shown == nil && !strings.Contains(what, "+") {
		return nil, cli.Usage(fmt.Errorf("%q is neither a verifier key, nor a URL, nor a directory that is here", what))
	}
	return changeLogs(f.dir, func(list cosigner.List) (bool, error) {
		changed := false
		if known := list[origin]; known != nil && shown != nil {
			if err := announced(ctx, shown, known.VKeys); err != nil {
				return false, err
			}
		}
		for _, vkey := range vkeys {
			l, err := cosigner.NewLog(vkey, origin, f.perDay, contact)
			if err != nil {
				return false, cli.Usage(err)
			}
			if known := list[l.Origin]; known != nil && slices.Contains(known.VKeys, vkey) {
				continue
			}
			if err := list.Add(l); err != nil {
				return false, cli.Usage(err)
			}
			changed = true
		}
		return changed, nil
	})
}

func removeLog(f logFlags, what string) (cosigner.List, error) {
	return changeLogs(f.dir, func(list cosigner.List) (bool, error) {
		if list[what] != nil {
			delete(list, what)
			return true, nil
		}
		for _, l := range list {
			if i := slices.Index(l.VKeys, what); i >= 0 {
				if l.VKeys = slices.Delete(l.VKeys, i, i+1); len(l.VKeys) == 0 {
					delete(list, l.Origin)
				}
				return true, nil
			}
		}
		return false, cli.Usage(fmt.Errorf("no log with the origin or verifier key %q was added", what))
	})
}

// changeLogs changes the file of a witness's directory, and gives what it has then.
// One process at a time does; a crash leaves the old file or the new one.
func changeLogs(dir string, change func(cosigner.List) (bool, error)) (cosigner.List, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, readOnly, err := durable.Hold(filepath.Join(dir, "logs.lock"))
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	list, err := readLogs(dir)
	if err != nil {
		return nil, err
	}
	changed, err := change(list)
	if err != nil || !changed {
		return list, err
	}
	if readOnly != nil {
		return nil, readOnly
	}
	return list, durable.WriteFile(ownLogs(dir), list.Marshal(), 0o600)
}

// readLogs gives what the file of a witness's directory has. It writes nothing.
func readLogs(dir string) (cosigner.List, error) {
	data, err := durable.ReadFile(ownLogs(dir))
	if errors.Is(err, fs.ErrNotExist) {
		data, err = cosigner.List{}.Marshal(), nil
	}
	if err != nil {
		return nil, err
	}
	list, err := cosigner.ParseList(bytes.NewReader(data), func(err error) error { return err })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ownLogs(dir), err)
	}
	return list, nil
}

// printLogs shows a list, if there is no error.
func printLogs(a *cli.App, list cosigner.List, err error) error {
	if err != nil {
		return err
	}
	out := Logs{Logs: []Log{}}
	var rows [][]string
	for _, origin := range slices.Sorted(maps.Keys(list)) {
		l := list[origin]
		out.Logs = append(out.Logs, Log{l.Origin, l.VKeys, l.PerDay, l.Contact})
		for _, vkey := range l.VKeys {
			rows = append(rows, []string{l.Origin, fmt.Sprint(l.PerDay, " a day"), vkey})
		}
	}
	return a.Print(out, cli.Rows(rows))
}
