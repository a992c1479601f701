// Package searching is the command that searches a log, at a service or in an
// index, and holds the answers to the log.
package searching

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/search"
)

// Searcher answers queries.
type Searcher interface {
	Search(ctx context.Context, query url.Values) (*search.Answer, error)
	Stats(ctx context.Context) (*search.Stats, error)
}

// Source is what a program searches, which a flag names.
type Source struct {
	Flag, Usage   string
	Long, Example string // what there is to say of it
	// Open opens the source that the flag names, and returns what closes it.
	Open func(ctx context.Context, a *cli.App, name string) (Searcher, func(), error)
	// files reports whether the flag also says where the log's files are.
	files bool
}

// flags are the flags of search.
type flags struct {
	from  string // the source
	raw   []string
	after string
	limit int
	all   bool
	stats bool
	verifyFlags
	params url.Values
}

// mostHits is how many entries are asked for at a time.
const mostHits = 500

// parameters are the flags that are parameters of a query, under the same
// name with "_" for "-".
var parameters = []struct{ flag, usage string }{
	{"entry", "entry id"},
	{"iss", "issuer"},
	{"sub", "subject"},
	{"kid", "key id, in hex or base64url"},
	{"typ", "header parameter typ, such as application/vnd.conmotion.record+cose"},
	{"content-type", "media type of the payload, or of what a hash is about"},
	{"policy", "Registration Policy in force, by its entry id"},
	{"artifact", "digest that a hash envelope signs"},
	{"chain", "chain, or one record of it: NAME or NAME:SEQ"},
	{"class-uid", "class of an OCSF event, such as 5023"},
	{"event-code", "metadata.event_code of an OCSF event, such as inventory.create"},
	{"asset", "asset that an OCSF event is about, by a name of it there"},
	{"from", "event time from here on: RFC 3339, or milliseconds since 1970"},
	{"to", "event time before this"},
	{"index-from", "place in the log from here on"},
	{"index-to", "place in the log before this"},
	{"q", "words of the payload or the subject, all of them"},
	{"order", "asc or desc by place in the log, time-asc or time-desc by event time (default asc)"},
}

const long = `Search a log, by what its entries say. All conditions must hold; without any,
every entry is found.
%s
--filter adds any other parameter, NAME=VALUE. A field of the payload is
f.PATH=VALUE, with the members of objects joined by dots; arrays are looked
through. Before the VALUE may stand >, >=, < or <=, for numbers and times:
--filter 'f.severity_id=>=3'.

At most --limit entries are shown, or --all. What follows is asked for with
--after and the cursor that is printed at the end.

--stats shows how many entries there are by issuer, class, event code and day.

Whoever searches for you can leave entries out or make them up. The answer names
the checkpoint up to which it claims to be complete. What is verified (--verify) has
a standing for each entry: a log may hold entries that their issuer did not sign,
or the same content twice. Those do not count, and that is said. They are in the
answer all the same: it is complete only with them.
` + verifyLong

// Command is the command search.
func Command(a *cli.App, s Source) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use: "search --" + s.Flag + " " + strings.ToUpper(s.Flag) + " [filters]", Short: "Search a log", Long: fmt.Sprintf(long, s.Long), Example: s.Example,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(cmd); err != nil {
				return cli.Usage(err)
			}
			return run(cmd.Context(), a, s, &f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.from, s.Flag, "", s.Usage)
	for _, p := range parameters {
		fl.String(p.flag, "", p.usage)
	}
	cli.Strings(fl, &f.raw, "filter", "any parameter as NAME=VALUE, such as f.resources.uid=i-0a1; once for each")
	fl.IntVar(&f.limit, "limit", 50, "most entries to show")
	fl.BoolVar(&f.all, "all", false, "show all entries")
	fl.StringVar(&f.after, "after", "", "cursor from a previous answer; continue after it")
	fl.BoolVar(&f.stats, "stats", false, "show how many entries there are, by issuer, class, event code and day")
	cmd.MarkFlagsMutuallyExclusive("limit", "all")
	f.verifyFlags.add(cmd, s)
	cli.Require(cmd, s.Flag)
	return cmd
}

// complete makes the parameters of the flags that were given.
func (f *flags) complete(cmd *cobra.Command) error {
	f.params = url.Values{}
	for _, p := range parameters {
		if flag := cmd.Flags().Lookup(p.flag); flag.Changed {
			f.params.Set(strings.ReplaceAll(p.flag, "-", "_"), flag.Value.String())
		}
	}
	for _, raw := range f.raw {
		name, value, ok := strings.Cut(raw, "=")
		switch {
		case !ok:
			return fmt.Errorf("--filter %q is not NAME=VALUE, such as f.resources.uid=i-0a1", raw)
		case name == "limit" || name == "after":
			return fmt.Errorf("--filter %s: use --%s", raw, name)
		}
		f.params.Add(name, value)
	}
	switch {
	case f.limit < 1:
		return errors.New("--limit is at least 1")
	case f.stats && (len(f.params) > 0 || f.after != "" || f.all || cmd.Flags().Changed("limit")):
		return errors.New("--stats is about the whole log: it takes no filters")
	case f.stats && f.verify != "":
		return errors.New("--stats cannot be verified; count the entries of a search that can")
	}
	return nil
}

func run(ctx context.Context, a *cli.App, s Source, f *flags) error {
	from, closeFrom, err := s.Open(ctx, a, f.from)
	if err != nil {
		return err
	}
	defer closeFrom()
	if f.stats {
		stats, err := from.Stats(ctx)
		if err != nil {
			return asked(err)
		}
		return printStats(a, stats)
	}
	v, err := f.open(ctx, a, s, f.from)
	if err != nil {
		return err
	}
	return (&list{App: a, flags: f, from: from, verifier: v, next: f.after}).run(ctx)
}

// asked gives a refused query its exit code: it is the fault of who asked.
func asked(err error) error {
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		if p.Status == http.StatusNotFound {
			err = fmt.Errorf("%w: does it search? A service does unless it runs with conmotiond --search=false", err)
		}
		return cli.Usage(err)
	}
	return err
}

// list is one list of entries, page by page.
type list struct {
	*cli.App
	flags *flags
	from  Searcher
	*verifier

	first search.Answer // whose checkpoint holds for the whole list
	asked int           // pages
	shown int
	next  string
}

func (l *list) run(ctx context.Context) error {
	for done := false; !done; {
		var err error
		if done, err = l.page(ctx); err != nil {
			return err
		}
	}
	verified, err := l.finish(ctx)
	if err != nil {
		return err
	}
	if l.all() { // now it may be shown
		for i, p := range l.pages {
			if err := l.print(p.Answer, i == 0); err != nil {
				return err
			}
		}
	}
	if err := l.summary(verified); err != nil {
		return err
	}
	if l.all() && !verified.Complete {
		return cli.Usage(errors.New("the answer is not complete: " + verified.Detail))
	}
	return nil
}

// page asks for one page, and shows it unless it is to be verified with all
// others.
func (l *list) page(ctx context.Context) (done bool, err error) {
	query := url.Values{}
	for name, values := range l.flags.params {
		query[name] = values
	}
	limit := mostHits
	if !l.flags.all {
		limit = min(limit, l.flags.limit-l.shown)
	}
	query.Set("limit", strconv.Itoa(limit))
	if l.next != "" {
		query.Set("after", l.next)
	}
	p, err := l.from.Search(ctx, query)
	if err != nil {
		return false, asked(err)
	}
	switch {
	case len(p.Entries) > limit:
		return false, cli.Bad(fmt.Errorf("the service gave %d entries where %d were asked for", len(p.Entries), limit))
	case p.Next != "" && (len(p.Entries) == 0 || p.Next == l.next):
		return false, cli.Bad(errors.New("the service says that there is more, and does not go on"))
	}
	if err := l.check(ctx, query, p); err != nil {
		return false, err
	}
	if l.asked++; l.asked == 1 {
		l.first = *p
	}
	l.shown += len(p.Entries)
	l.next = p.Next
	if !l.all() {
		if err := l.print(p, l.asked == 1); err != nil {
			return false, err
		}
	}
	return l.next == "" || (!l.flags.all && l.shown >= l.flags.limit), nil
}
