package searching

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/search"
)

// What --verify verifies.
const (
	verifyHits = "hits"
	verifyAll  = "all"
)

const verifyLong = `
--verify holds the answer to the log's static files and says what it did. With
--verify=hits each entry shown is proven to be in the log, to match, and to say
what the answer says; whether entries were left out, and the policy in force, are
not checked. --verify alone, or --verify=all, reads every entry up to the
checkpoint that the answer names, answers the query from them alone, and
compares: it also shows that nothing was left out. Nothing is shown that is not
true, and the exit code is then 1. It is complete up to the newest checkpoint of the
log's files, or up to --index-to: an answer for an earlier state, of an index that
lags or an answerer who hides the rest, is exit code 2.

The files are read at --static. Content behind hashes is fetched from --artifacts. An
answer that depends on an artifact that only one side has cannot be checked: exit
code 2.
` + cli.HomeHelp

// verifyFlags are the flags of what is verified.
type verifyFlags struct {
	verify, static string // "", or what of an answer is verified
	cli.MemoryFlags
	artifacts cli.StoreFlags // --artifacts, which may be a directory too
}

func (f *verifyFlags) add(cmd *cobra.Command, s Source) {
	fl := cmd.Flags()
	fl.StringVar(&f.verify, "verify", "", "hold the answer to the log: hits, or all")
	fl.Lookup("verify").NoOptDefVal = verifyAll
	files := "URL or directory with the log's files, for --verify"
	if s.files {
		files += " (default: --" + s.Flag + ")"
	}
	fl.StringVar(&f.static, "static", "", files)
	f.MemoryFlags.Add(cmd)
	f.artifacts.AddReading(cmd, "artifacts", "for --verify, where the content behind hashes is: URL of a service, or directory of an artifact storage")
}

// verifier holds answers to the static files of the log. Without a log it
// verifies nothing.
type verifier struct {
	app       *cli.App
	verify    string
	log       *party.Log
	options   party.Options
	artifacts *reader.Reader
	pages     []search.Page // that wait to be verified together
	hits      int
}

func (v *verifier) all() bool { return v.verify == verifyAll }

// open opens what --verify needs.
func (f *verifyFlags) open(ctx context.Context, a *cli.App, s Source, from string) (v *verifier, err error) {
	v = &verifier{app: a, verify: f.verify}
	switch {
	case f.verify == "" && (f.static != "" || len(f.VKeys) > 0 || f.Home != "" || f.NoHome || f.artifacts.URL != ""):
		return nil, cli.Usage(errors.New("--static, --vkey, --home, --no-home and --artifacts are for --verify"))
	case f.verify == "":
		return v, nil
	case f.verify != verifyHits && f.verify != verifyAll:
		return nil, cli.Usage(fmt.Errorf("--verify is hits or all, not %q", f.verify))
	case f.static == "" && s.files:
		f.static = from
	case f.static == "":
		return nil, cli.Usage(errors.New("--verify needs --static, with the URL or directory of the log's files"))
	}
	if v.artifacts, err = a.Artifacts(ctx, f.artifacts, cli.Readers); err != nil {
		return nil, err
	}
	if v.options, err = a.LogOptions(ctx, f.MemoryFlags); err != nil {
		return nil, err
	}
	v.log, err = party.Open(ctx, f.static, v.options)
	return v, err
}

// check checks one answer, or keeps it for finish.
func (v *verifier) check(ctx context.Context, query url.Values, a *search.Answer) error {
	if v.log == nil {
		return nil
	}
	q, err := search.ParseQuery(query)
	if err != nil {
		return cli.Usage(err)
	}
	// The files may be those of a mirror, which has its own pace.
	if v.log.Checkpoint.Size < a.Checkpoint.Size {
		if err := v.log.Refresh(ctx, v.options); err != nil {
			return err
		}
	}
	v.hits += len(a.Entries)
	if v.all() {
		v.pages = append(v.pages, search.Page{Query: q, Answer: a})
		return nil
	}
	return v.explain(search.VerifyHits(ctx, v.log.View, q, a, v.artifacts, v.log.VerifyStatement))
}

// verified is what was checked of an answer.
type verified struct {
	Verified string `json:"verified"` // none, hits or all
	Detail   string `json:"detail"`
	Complete bool   `json:"complete"`           // nothing was left out, up to the checkpoint of the reader's
	LogSize  uint64 `json:"log_size,omitempty"` // of that checkpoint, which has been verified
}

// finish checks what was kept, and says what was checked.
func (v *verifier) finish(ctx context.Context) (verified, error) {
	switch {
	case v.log == nil:
		return verified{Verified: "none", Detail: "nothing: this is the word of whoever searched; --verify holds it to the log"}, nil
	case !v.all():
		return verified{Verified: verifyHits, LogSize: v.log.Checkpoint.Size, Detail: fmt.Sprintf("hits only: each of the %d entries is in the log, matches and says this; "+
			"not whether others were left out (--verify=all does), and not the policy in force", v.hits)}, nil
	}
	p := v.app.Progress()
	defer p.Done()
	size := v.pages[len(v.pages)-1].Answer.Checkpoint.Size
	scanned, err := search.Verify(ctx, v.log.View, v.pages, v.artifacts, v.log.VerifyStatement, func(read uint64) {
		p.Show(func() string { return fmt.Sprintf("verified %d of %d entries", read, size) })
	})
	if err != nil {
		return verified{}, v.explain(err)
	}
	out := verified{Verified: verifyAll, Complete: scanned.Unsaid == 0, LogSize: v.log.Checkpoint.Size}
	out.Detail = fmt.Sprintf("complete: all %s of the log were read; these are true, and none was left out", plural.Of(scanned.Entries, "entry"))
	if !out.Complete {
		out.Detail = fmt.Sprintf("NOT COMPLETE: these are true, and none was left out of %s; of %d more that the log has the answer says nothing",
			plural.Of(scanned.Entries, "entry"), scanned.Unsaid)
	}
	if scanned.Missing > 0 {
		out.Detail += fmt.Sprintf(" (%d of them speak of artifacts that are not served here and were judged by their headers)", scanned.Missing)
	}
	return out, nil
}

// explain says what to do about an error of verifying.
func (v *verifier) explain(err error) error {
	switch {
	case errors.Is(err, search.ErrAnswer):
		return cli.Bad(err)
	case errors.Is(err, search.ErrUnchecked) && v.artifacts == nil:
		return cli.Usage(fmt.Errorf("%w; --artifacts says where they are", err))
	case errors.Is(err, search.ErrUnchecked):
		return cli.Usage(err)
	}
	return cli.OfStorage(err)
}
