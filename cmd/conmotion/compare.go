package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

type compareFlags struct {
	readFlags
	intervalFlags
	reported, observed sideFlags
	search             string
	confirm            int
	exitZero           bool
	disclosed          []string
}

const compareLong = `Compare what one party reported in its log with what another observed in its own,
over an interval, for inventory and configuration. Both logs are replayed from
their files and verified, signatures included.

  missing  observed, and not reported within the grace
  phantom  reported, and never observed
  drift    the configuration differed for longer than the grace
  undisclosed  it differed in fields that are hidden; --disclosed shows them
  late     reported after the grace

and the anomalies of the records on both sides: duplicate creates, times that go
backwards, forked chains, records after a deletion. docs/monitoring.md has the
rules. What a complete scan did not see has ended, which is marked as inferred.
--scope judges a part: account=1, type=AWS::EC2::*, -tag=env:dev and the like.

A missing object is confirmed before it is believed: every entry of the reporting
log up to its checkpoint has been read, and the provider's search is asked for
the uid as well (at most --confirm objects; 0 asks for none). What the search
knows is looked up in the log, and it is said why it does not count.

--reported-since and --observed-since go on from a saved replay of the log's
beginning (replay --save), whose events are all before --from: then only what is
new is read, and the result is the same bytes.

With --json the comparison of docs/monitoring.md in its canonical form (RFC
8785), without a line feed: its SHA-256 is the comparison_sha256 of a
measurement. --json with --confirm adds a line feed and the confirmations.

Exit code 1 when anything differs or is anomalous, as diff does, and when a log is
damaged, forked or was rolled back. --exit-zero makes the first a 0. Exit code 2 when
the comparison is incomplete: a record on either side could not be read, because its
content is withheld or private, or could not be checked, because its issuer's key is not known
(--issuer-key). Then what differs may be what that record says. So it is when nothing differs but fields
that are hidden. A measurement rests on the logs alone, and counts these beside drift.
` + cli.HomeHelp

const compareExample = `  conmotion compare --reported https://provider.example --observed https://auditor.example \
      --from 2026-07-01 --to 2026-07-02 --reported-issuer did:jwk:eyJ...
  conmotion compare --reported mirror --observed conmotion-data/public --from -24h --json`

func (a *app) compare() *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use: "compare --reported URL-or-DIR --observed URL-or-DIR --from TIME [--to TIME]", Short: "Compare one party's log with another's",
		Long: compareLong, Example: compareExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.JSON && !cmd.Flags().Changed("confirm") {
				f.confirm = 0
			}
			return a.runCompare(cmd.Context(), f)
		},
	}
	f.addAll(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.search, "search", "", "URL of the service whose search confirms what is missing (default: --reported when it is a URL)")
	fl.IntVar(&f.confirm, "confirm", 20, "most missing objects to ask the search for")
	cli.Strings(fl, &f.disclosed, "disclosed", "file with hidden values of a record that are shown, from conmotion disclose; once for each")
	fl.BoolVar(&f.exitZero, "exit-zero", false, "exit with 0 although something differs")
	cli.Require(cmd, "reported", "observed", "from")
	return cmd
}

// addAll adds what says which logs are compared and how.
func (f *compareFlags) addAll(cmd *cobra.Command) {
	f.AddReading(cmd)
	f.addCommon(cmd)
	f.intervalFlags.add(cmd)
	f.reported.add(cmd, "reported", "of reports")
	f.observed.add(cmd, "observed", "of observations")
	f.reported.addSelection(cmd, "reported", "record")
	f.observed.addSelection(cmd, "observed", "observation")
}

func (a *app) runCompare(ctx context.Context, f compareFlags) error {
	if f.confirm < 0 {
		return cli.Usage(errors.New("--confirm is at least 0"))
	}
	c, logs, err := a.compareLogs(ctx, f, time.Now())
	if err != nil {
		return err
	}
	confirmed, err := a.confirm(ctx, f, c, logs[0])
	if err != nil {
		return err
	}
	if err := a.Print(compared{c, f.confirm, confirmed}, func(p *cli.Page) { showComparison(p, c, f.confirm, confirmed) }); err != nil {
		return err
	}
	if _, err = compareResult(c); f.exitZero && cli.ExitCode(err) == cli.ExitBad {
		err = nil
	}
	return err
}

// confirm asks the provider's search about the missing objects.
func (a *app) confirm(ctx context.Context, f compareFlags, c *monitor.Comparison, reports *party.Log) ([]party.Confirmation, error) {
	confirmer := &party.Confirmer{Comparison: c, Log: reports}
	switch service := cmp.Or(f.search, serviceURL(f.reported.location)); service {
	case "":
		confirmer.Why = "the log was read from a directory; --search names a service"
	default:
		// A search that is busy is asked again, and not for long: it only confirms.
		o := a.ClientOptions(cli.Readers)
		o.Retries = 2
		var err error
		if o.Token, err = a.Token(service); err != nil {
			return nil, err
		}
		if confirmer.Search, err = client.New(service, o); err != nil {
			return nil, cli.Usage(fmt.Errorf("--search: %w", err))
		}
	}
	p := a.Progress()
	defer p.Done()
	confirmed, err := confirmer.Confirm(ctx, f.confirm, func(done int) {
		p.Show(func() string { return fmt.Sprintf("asked the search for %d missing objects", done) })
	})
	return confirmed, cli.OfLog(err)
}

// compareResult is what a comparison comes to: for people, and as an error.
func compareResult(c *monitor.Comparison) (string, error) {
	findings, anomalies, undisclosed := c.Counts()
	counts := plural.Of(findings, "finding") + ", " + plural.Of(anomalies, "anomaly")
	switch {
	case c.Unread().Any():
		return fmt.Sprintf("INCOMPLETE: %s; so far %s", c.Unread(), counts), cli.Usage(fmt.Errorf("the comparison is incomplete: %s", c.Unread()))
	case findings+anomalies > 0:
		return "DIFFERENT: " + counts, cli.Bad(errors.New(counts))
	case undisclosed > 0:
		hidden := plural.Of(undisclosed, "configuration") + " may differ in fields that are hidden (--disclosed)"
		return "UNDISCLOSED: " + hidden, cli.Usage(errors.New(hidden))
	}
	return "nothing differs", nil
}

// compareLogs opens both logs, the reporting one first, and compares them.
func (a *app) compareLogs(ctx context.Context, f compareFlags, now time.Time) (*monitor.Comparison, [2]*party.Log, error) {
	limitMemory()
	var logs [2]*party.Log
	in, err := f.intervalFlags.read(now)
	if err != nil {
		return nil, logs, err
	}
	p := a.Progress()
	defer p.Done()
	shown, err := readShown(ctx, f.disclosed)
	if err != nil {
		return nil, logs, err
	}
	var parties [2]monitor.Party
	for i, side := range []sideFlags{f.reported, f.observed} {
		if parties[i], err = side.party(ctx, in.From); err != nil {
			return nil, logs, err
		}
	}
	for i, side := range []sideFlags{f.reported, f.observed} {
		if logs[i], err = a.openSide(ctx, side, f.readFlags); err != nil {
			return nil, logs, err
		}
		log := logs[i].Monitor()
		log.Disclosed = map[reader.Digest]*monitor.Shown{}
		for key, s := range shown {
			log.Disclosed[key] = &s.Shown
		}
		parties[i].Log = p.Count(side.name, log)
	}
	c, err := monitor.Compare(ctx, parties[0], parties[1], in)
	if err != nil {
		return nil, logs, cli.OfLog(err)
	}
	for _, s := range shown {
		if !s.Used() {
			return nil, logs, cli.Usage(fmt.Errorf("--disclosed %s: neither log has this record among those that are compared", s.path))
		}
	}
	return c, logs, nil
}

// shownFile is what files show of one record; path is the first of them.
type shownFile struct {
	monitor.Shown
	path string
	all  disclosure.Document
}

// readShown reads files with values that are shown, several of which may be of one record.
func readShown(ctx context.Context, paths []string) (map[reader.Digest]*shownFile, error) {
	shown := map[reader.Digest]*shownFile{}
	for _, path := range paths {
		d, err := readDisclosed(ctx, path)
		if err != nil {
			return nil, err
		}
		key := reader.Digest(sha256.Sum256(d.Payload))
		s := shown[key]
		if s == nil {
			s = &shownFile{path: path, all: disclosure.Document{Payload: d.Payload}}
			shown[key] = s
		}
		s.all.Add(d.Disclosures...)
		if s.Opened, err = s.all.Open(); err != nil {
			return nil, cli.Bad(fmt.Errorf("--disclosed %s: %w", path, err))
		}
	}
	return shown, nil
}
