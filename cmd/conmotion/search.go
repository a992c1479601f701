package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// searchFlags are the flags of search.
type searchFlags struct {
	localSearchFlags
	log, db    string
	raw        []string
	after      string
	limit      int
	all, stats bool
	verify     string // "", or what of an answer is verified
	params     url.Values
}

// What --verify verifies.
const (
	verifyHits = "hits"
	verifyAll  = "all"
)

// mostHits is how many entries are asked for at a time.
const mostHits = 500

// searchParams are the flags that are parameters of a query, under the same
// name with "_" for "-".
var searchParams = []struct{ flag, usage string }{
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
	{"from", "event time from here on: RFC 3339, or milliseconds since 1970"},
	{"to", "event time before this"},
	{"index-from", "place in the log from here on"},
	{"index-to", "place in the log before this"},
	{"q", "words of the payload or the subject, all of them"},
	{"order", "asc or desc by place in the log, time-asc or time-desc by event time (default asc)"},
}

const searchLong = `Search a log, by what its entries say. All conditions must hold; without any,
every entry is found.

With --log the answer comes from a service's GET /search: that of the log itself,
or one over somebody else's log (conmotiond --search-of).

--filter adds any other parameter as the service takes it, NAME=VALUE. A field of
the payload is f.PATH=VALUE, with the members of objects joined by dots; arrays
are looked through. Before the VALUE may stand >, >=, < or <=, for numbers and
times: --filter 'f.severity_id=>=3'.

At most --limit entries are shown, or --all. What follows is asked for with
--after and the cursor that is printed at the end.

--stats shows how many entries there are by issuer, class, event code and day.

Whoever searches for you can leave entries out or make them up. The answer names
the checkpoint up to which it claims to be complete. What is verified (--verify) has
a standing for each entry: a log may hold entries that their issuer did not sign,
or the same content twice. Those do not count, and that is said. They are in the
answer all the same: it is complete only with them.`

const searchExample = `  conmotion search --log http://127.0.0.1:8080 --class-uid 5023 --event-code inventory.create
  conmotion search --log http://127.0.0.1:8080 --filter f.resources.uid=i-0a1 --order desc --limit 5
  conmotion search --log http://127.0.0.1:8080 --q "volume backup" --filter 'f.severity_id=>=3' --all --json
  conmotion search --log http://127.0.0.1:8080 --stats`

func (a *app) search() *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use: "search --log URL [filters]", Short: "Search a log", Long: searchLong, Example: searchExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(cmd); err != nil {
				return usage(err)
			}
			return a.runSearch(cmd.Context(), &f)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.log, "log", "", "URL of the service that searches")
	for _, p := range searchParams {
		fl.String(p.flag, "", p.usage)
	}
	fl.StringArrayVar(&f.raw, "filter", nil, "any parameter as NAME=VALUE, such as f.resources.uid=i-0a1; once for each")
	fl.IntVar(&f.limit, "limit", 50, "most entries to show")
	fl.BoolVar(&f.all, "all", false, "show all entries")
	fl.StringVar(&f.after, "after", "", "go on behind an earlier answer, with the cursor that it gave")
	fl.BoolVar(&f.stats, "stats", false, "show how many entries there are, by issuer, class, event code and day")
	cmd.MarkFlagsMutuallyExclusive("limit", "all")
	addLocalSearch(cmd, &f)
	return cmd
}

// complete makes the parameters of the flags that were given.
func (f *searchFlags) complete(cmd *cobra.Command) error {
	f.params = url.Values{}
	for _, p := range searchParams {
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
	case f.log == "" && f.db == "":
		return errors.New(whereToSearch)
	case f.limit < 1:
		return errors.New("--limit is at least 1")
	case f.stats && (len(f.params) > 0 || f.after != "" || f.all || cmd.Flags().Changed("limit")):
		return errors.New("--stats is about the whole log: it takes no filters")
	case f.stats && f.verify != "":
		return errors.New("--stats cannot be verified; count the entries of a search that can")
	}
	return nil
}

// searcher answers queries, in JSON as the service does.
type searcher interface {
	Search(ctx context.Context, query url.Values) ([]byte, error)
	SearchStats(ctx context.Context) ([]byte, error)
}

// holder holds answers to the log.
type holder interface {
	// hold checks one answer, or keeps it for finish, and gives it as it was
	// understood: what is shown is what was checked.
	hold(ctx context.Context, query url.Values, body []byte) ([]byte, error)
	// finish checks what was kept, and says what was checked. The answers that
	// were kept come as they are to be shown.
	finish(ctx context.Context) (v searchVerified, kept [][]byte, err error)
}

// searchVerified is what was checked of an answer.
type searchVerified struct {
	Verified string `json:"verified"` // none, hits or all
	Detail   string `json:"detail"`
	Complete bool   `json:"complete"`           // nothing was left out, up to the checkpoint of the reader's
	LogSize  uint64 `json:"log_size,omitempty"` // of that checkpoint, which has been verified
}

// foundPage is an answer as far as it is shown.
type foundPage struct {
	Checkpoint struct {
		Origin string `json:"origin"`
		Size   uint64 `json:"size"`
		Root   []byte `json:"root"`
	} `json:"checkpoint"`
	Indexed uint64            `json:"indexed"`
	Entries []json.RawMessage `json:"entries"`
	Next    string            `json:"next"`
}

// foundEntry is an entry as far as people are shown it.
type foundEntry struct {
	Entry     string `json:"entry"`
	Index     uint64 `json:"index"`
	Issuer    string `json:"issuer"`
	Subject   string `json:"subject"`
	ClassUID  *int64 `json:"class_uid"`
	EventCode string `json:"event_code"`
	IssuedAt  int64  `json:"iat"`
	Time      *int64 `json:"time"`
	Content   string `json:"content"`
	// What verifying found: see package search.
	Standing    string  `json:"standing"`
	DuplicateOf *uint64 `json:"duplicate_of"`
}

func (a *app) runSearch(ctx context.Context, f *searchFlags) error {
	from, closeFrom, err := a.openSearcher(ctx, f)
	if err != nil {
		return err
	}
	defer closeFrom()
	if f.stats {
		body, err := from.SearchStats(ctx)
		if err != nil {
			return asked(err)
		}
		return a.printStats(body)
	}
	hold, err := a.openHolder(ctx, f)
	if err != nil {
		return err
	}
	r := &searchRun{app: a, flags: f, from: from, hold: hold}
	return r.run(ctx)
}

// openSearcher opens the service or the index that is asked.
func (a *app) openSearcher(ctx context.Context, f *searchFlags) (searcher, func(), error) {
	if f.db != "" {
		return a.openLocalSearch(ctx, f)
	}
	c, err := client.New(f.log, a.clientOptions(1))
	if err != nil {
		return nil, nil, usage(fmt.Errorf("--log: %w", err))
	}
	return c, func() {}, nil
}

// asked gives a refused query its exit code: it is the fault of who asked.
func asked(err error) error {
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		if p.Status == http.StatusNotFound {
			err = fmt.Errorf("%w: does it search? A service does unless it runs with conmotiond --search=false", err)
		}
		return usage(err)
	}
	return err
}

// searchRun is one list of entries, page by page.
type searchRun struct {
	*app
	flags *searchFlags
	from  searcher
	hold  holder

	first *foundPage // whose checkpoint holds for the whole list
	shown int
	next  string
}

func (r *searchRun) run(ctx context.Context) error {
	r.next = r.flags.after
	for {
		done, err := r.page(ctx)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	verified, kept, err := r.hold.finish(ctx)
	if err != nil {
		return err
	}
	for i, body := range kept {
		p, err := parsePage(body)
		if err != nil {
			return err
		}
		if i == 0 {
			r.first = p
		}
		if err := r.print(p); err != nil {
			return err
		}
	}
	if err := r.summary(verified); err != nil {
		return err
	}
	if verified.Verified == verifyAll && !verified.Complete {
		return usage(errors.New("the answer is not complete: " + verified.Detail))
	}
	return nil
}

// page asks for one page, and shows it unless it is to be verified with all
// others.
func (r *searchRun) page(ctx context.Context) (done bool, err error) {
	query := url.Values{}
	for name, values := range r.flags.params {
		query[name] = values
	}
	limit := mostHits
	if !r.flags.all {
		limit = min(limit, r.flags.limit-r.shown)
	}
	query.Set("limit", strconv.Itoa(limit))
	if r.next != "" {
		query.Set("after", r.next)
	}
	body, err := r.from.Search(ctx, query)
	if err != nil {
		return false, asked(err)
	}
	if body, err = r.hold.hold(ctx, query, body); err != nil {
		return false, err
	}
	p, err := parsePage(body)
	switch {
	case err != nil:
		return false, err
	case len(p.Entries) > limit:
		return false, bad(fmt.Errorf("the service gave %d entries where %d were asked for", len(p.Entries), limit))
	case p.Next != "" && (len(p.Entries) == 0 || p.Next == r.next):
		return false, bad(errors.New("the service says that there is more, and does not go on"))
	}
	if r.first == nil {
		r.first = p
	}
	r.shown += len(p.Entries)
	r.next = p.Next
	if r.flags.verify != verifyAll { // then it is shown when all is verified
		if err := r.print(p); err != nil {
			return false, err
		}
	}
	return r.next == "" || (!r.flags.all && r.shown >= r.flags.limit), nil
}

func parsePage(body []byte) (*foundPage, error) {
	var p foundPage
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, bad(fmt.Errorf("the service does not answer as a search does: %w", err))
	}
	return &p, nil
}

// notHeld is the holder that checks nothing.
type notHeld struct{}

func (notHeld) hold(_ context.Context, _ url.Values, body []byte) ([]byte, error) { return body, nil }

func (notHeld) finish(context.Context) (searchVerified, [][]byte, error) {
	return searchVerified{Verified: "none", Detail: "nothing: this is the word of who searched" + verifyHint}, nil, nil
}
