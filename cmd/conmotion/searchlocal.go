//go:build !light

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/search"
)

const (
	whereToSearch = "give --log with the URL of a service that searches, or --db with an index that conmotion index made"
	verifyHint    = "; --verify holds it to the log"
)

const searchLocalLong = `

With --db the answer comes from an index of your own, made by conmotion index.

--verify holds the answer to the log's static files and says what it did. With
--verify=hits each entry shown is proven to be in the log, to match, and to say
what the answer says; whether entries were left out, and the policy in force, are
not checked. --verify alone, or --verify=all, reads every entry up to the
checkpoint that the answer names, answers the query from them alone, and
compares: it also shows that nothing was left out. Nothing is shown that is not
true, and the exit code is then 1. It is complete up to the newest checkpoint of the
log's files, or up to --index-to: an answer for an earlier state, of an index that
lags or an answerer who hides the rest, is exit code 2.

The files are read at --log, or at --static where the log is elsewhere. Content
behind hashes is fetched from --artifacts. An answer that depends on an artifact
that only one side has cannot be checked: exit code 2.
` + homeHelp

const searchLocalExample = `

  # trust nobody: hold each hit, or the whole answer, to the log's files
  conmotion search --log http://127.0.0.1:8080 --sub asset/7 --verify=hits
  conmotion search --log http://127.0.0.1:8080 --sub asset/7 --verify

  # from an index of your own over somebody else's log
  conmotion index https://transparency.example --db search.db
  conmotion search --db search.db --sub asset/7 --verify --static https://transparency.example`

// localSearchFlags are the flags that --verify needs.
type localSearchFlags struct {
	static string
	memoryFlags
	artifactStore storeFlags // --artifacts, which may be a directory too
}

// addLocalSearch adds what needs the index and its code.
func addLocalSearch(cmd *cobra.Command, f *searchFlags) {
	cmd.Use = "search (--log URL | --db FILE) [filters]"
	cmd.Long += searchLocalLong
	cmd.Example += searchLocalExample
	fl := cmd.Flags()
	fl.StringVar(&f.db, "db", "", "index to search, made by conmotion index")
	fl.StringVar(&f.verify, "verify", "", "hold the answer to the log: hits, or all")
	fl.Lookup("verify").NoOptDefVal = verifyAll
	fl.StringVar(&f.static, "static", "", "URL or directory with the log's files, for --verify (default: --log)")
	f.memoryFlags.add(cmd)
	f.artifactStore.addReading(cmd, "artifacts", "for --verify, where the content behind hashes is: URL of a service, or directory of an artifact storage")
	cmd.MarkFlagsMutuallyExclusive("log", "db")
}

// localSearch answers from an index in a file.
type localSearch struct {
	*search.Index
	path string
}

func (a *app) openLocalSearch(ctx context.Context, f *searchFlags) (searcher, func(), error) {
	x, err := search.Open(ctx, f.db, search.Options{ReadOnly: true})
	if err != nil {
		return nil, nil, usage(fmt.Errorf("--db: %w%s", err, rebuildHint(err)))
	}
	return localSearch{x, f.db}, func() { x.Close() }, nil
}

// rebuildHint helps who has a damaged index.
func rebuildHint(err error) string {
	if errors.Is(err, search.ErrDamaged) {
		return "; if it was one, conmotion index --rebuild makes it anew from the log"
	}
	return ""
}

// Search implements searcher.
func (l localSearch) Search(ctx context.Context, query url.Values) ([]byte, error) {
	q, err := search.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	answer, err := l.Index.Search(ctx, q)
	return l.encode(answer, err)
}

// SearchStats implements searcher.
func (l localSearch) SearchStats(ctx context.Context) ([]byte, error) {
	stats, err := l.Stats(ctx)
	return l.encode(stats, err)
}

func (l localSearch) encode(answer any, err error) ([]byte, error) {
	if errors.Is(err, search.ErrDamaged) {
		return nil, usage(fmt.Errorf("--db %s: %w%s", l.path, search.ErrDamaged, rebuildHint(err)))
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}

// openHolder opens what --verify needs.
func (a *app) openHolder(ctx context.Context, f *searchFlags) (holder, error) {
	switch f.verify {
	case "":
		if f.static != "" || len(f.vkeys) > 0 || f.home != "" || f.noHome || f.artifactStore.url != "" {
			return nil, usage(errors.New("--static, --vkey, --home, --no-home and --artifacts are for --verify"))
		}
		return notHeld{}, nil
	case verifyHits, verifyAll:
	default:
		return nil, usage(fmt.Errorf("--verify is hits or all, not %q", f.verify))
	}
	where := f.static
	if where == "" {
		where = f.log
	}
	if where == "" {
		return nil, usage(errors.New("--verify with --db needs --static, with the URL or directory of the log's files"))
	}
	artifacts, err := a.artifacts(f.artifactStore, readers)
	if err != nil {
		return nil, err
	}
	o, err := a.logOptions(f.memoryFlags)
	if err != nil {
		return nil, err
	}
	log, err := party.Open(ctx, where, o)
	if err != nil {
		return nil, partyError(err)
	}
	return &logHolder{app: a, log: log, options: o, all: f.verify == verifyAll, artifacts: artifacts}, nil
}

// logHolder holds answers to the static files of the log.
type logHolder struct {
	*app
	log       *party.Log
	options   party.Options
	all       bool
	artifacts *reader.Reader
	pages     []search.Page
	hits      int
}

func (h *logHolder) hold(ctx context.Context, query url.Values, body []byte) ([]byte, error) {
	q, err := search.ParseQuery(query)
	if err != nil {
		return nil, usage(err)
	}
	answer := &search.Answer{}
	if err := json.Unmarshal(body, answer); err != nil {
		return nil, bad(fmt.Errorf("the service does not answer as a search does: %w", err))
	}
	// The files may be those of a mirror, which has its own pace.
	if h.log.Checkpoint.Size < answer.Checkpoint.Size {
		if err := h.log.Refresh(ctx, h.options); err != nil {
			return nil, partyError(err)
		}
	}
	h.hits += len(answer.Entries)
	if h.all {
		h.pages = append(h.pages, search.Page{Query: q, Answer: answer})
	} else if err := search.VerifyHits(ctx, h.log.View, q, answer, h.artifacts, h.log.VerifyStatement); err != nil {
		return nil, h.verdict(err)
	}
	return json.Marshal(answer)
}

func (h *logHolder) finish(ctx context.Context) (v searchVerified, kept [][]byte, err error) {
	if !h.all {
		return searchVerified{Verified: verifyHits, LogSize: h.log.Checkpoint.Size, Detail: fmt.Sprintf("hits only: each of the %d entries is in the log, matches and says this; "+
			"not whether others were left out (--verify=all does), and not the policy in force", h.hits)}, nil, nil
	}
	p := h.progress()
	defer p.done()
	size := h.pages[len(h.pages)-1].Answer.Checkpoint.Size
	scanned, err := search.Verify(ctx, h.log.View, h.pages, h.artifacts, h.log.VerifyStatement, func(read uint64) {
		p.show(func() string { return fmt.Sprintf("verified %d of %d entries", read, size) })
	})
	if err != nil {
		p.done()
		return searchVerified{}, nil, h.verdict(err)
	}
	v = searchVerified{Verified: verifyAll, Complete: scanned.Unsaid == 0, LogSize: h.log.Checkpoint.Size}
	v.Detail = fmt.Sprintf("complete: all %s of the log were read; these are true, and none was left out", plural.Of(scanned.Entries, "entry"))
	if !v.Complete {
		v.Detail = fmt.Sprintf("NOT COMPLETE: these are true, and none was left out of %s; of %d more that the log has the answer says nothing",
			plural.Of(scanned.Entries, "entry"), scanned.Unsaid)
	}
	if scanned.Missing > 0 {
		v.Detail += fmt.Sprintf(" (%d of them speak of artifacts that are not served here and were judged by their headers)", scanned.Missing)
	}
	for _, p := range h.pages {
		body, err := json.Marshal(p.Answer)
		if err != nil {
			return searchVerified{}, nil, err
		}
		kept = append(kept, body)
	}
	return v, kept, nil
}

// verdict gives an error its exit code.
func (h *logHolder) verdict(err error) error {
	switch {
	case errors.Is(err, search.ErrAnswer):
		return bad(err)
	case errors.Is(err, search.ErrUnchecked) && h.artifacts == nil:
		return usage(fmt.Errorf("%w; --artifacts says where they are", err))
	case errors.Is(err, search.ErrUnchecked), scitt.ProblemOf(err) != nil:
		return usage(err) // the storage of artifacts refuses
	}
	return err
}
