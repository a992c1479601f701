package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

// counterFlags are the flags of the commands that register a statement about
// an entry of a log, which may be another log than the one they write to.
type counterFlags struct {
	log, out string
	own      readFlags // of the log that is written to
	signer   signerFlags
	entry    entryFlags
}

// entryFlags say where an entry is, and whom to believe about it.
type entryFlags struct {
	log, artifacts, token string
	VKeys                 []string
}

// add adds the flags; prefix is what the entry is called in their names.
func (f *counterFlags) add(cmd *cobra.Command, prefix string) {
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the service that registers the statement")
	fl.StringVar(&f.out, "out", "", `file for the Transparent Statement, or "-"`)
	f.own.AddHome(cmd)
	f.own.addCommon(cmd)
	cli.VKeyFlag(cmd, &f.own.VKeys)
	f.signer.add(cmd)
	f.entry.add(cmd, prefix)
	cli.Require(cmd, "log")
}

func (f *entryFlags) add(cmd *cobra.Command, prefix string) {
	fl := cmd.Flags()
	fl.StringVar(&f.log, prefix+"-log", "", "URL or directory of the log that ENTRY is in, when ENTRY is an entry id or an index")
	cli.Strings(fl, &f.VKeys, prefix+"-vkey", "verifier key of the log that ENTRY is in (default: remembered, or taken on first use); once for each")
	fl.StringVar(&f.artifacts, prefix+"-artifacts", "", "content behind ENTRY's hash: URL of a service, or directory of an artifact storage (default: where its log is)")
	fl.StringVar(&f.token, prefix+"-token-file", "", "file with the token for reading that content (default: that of the home, tokens/HOST)")
}

// read returns how the entry's log is opened: without the keys and the token of the
// log that is written to.
func (f counterFlags) read() readFlags {
	return readFlags{MemoryFlags: cli.MemoryFlags{Home: f.own.Home, VKeys: f.entry.VKeys}, artifacts: f.entry.artifacts, token: f.entry.token, issuerKeys: f.own.issuerKeys, limits: f.own.limits}
}

// attested is a registered statement as the commands print it.
type attested struct {
	Result   string           `json:"result"` // registered, or resumed: an earlier run had signed it
	Entry    monitor.EntryRef `json:"entry"`
	Location string           `json:"location"`
	About    monitor.EntryRef `json:"about"`
	Artifact string           `json:"artifact,omitempty"` // its hash, where the payload is not in the entry
	Out      string           `json:"out,omitempty"`
}

// attest registers, writes and prints a statement about an entry. The lines are
// what the command has to say beside it.
func (a *app) attest(ctx context.Context, r *party.Registrar, f counterFlags, d party.Draft, about monitor.EntryRef, lines ...[]string) error {
	o, err := a.register(ctx, r, d, f.out)
	if err != nil {
		return err
	}
	at, statement := o.At[0], o.Copies[0].Statement
	said := attested{Result: resultRegistered, Entry: at.Ref, Location: at.Location, About: about, Out: f.out}
	if o.Resumed {
		said.Result = "resumed"
	}
	if digest, ok := statement.ContentSHA256(); ok && statement.Envelope != nil {
		said.Artifact = fmt.Sprintf("sha256:%x", digest)
	}
	if f.out != "-" {
		rows := [][]string{{said.Result, at.Ref.EntryID}, {"entry", fmt.Sprintf("%d of %s", at.Ref.Index, at.Ref.Origin)}, {"location", at.Location},
			{"about", fmt.Sprintf("entry %d of %s", about.Index, about.Origin)}}
		err = a.Print(said, cli.Rows(append(append(rows, lines...), []string{"artifact", said.Artifact}, []string{"wrote", f.out})))
	}
	if err != nil {
		return err
	}
	return o.Done()
}
