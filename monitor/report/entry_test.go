package report

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// TestPages: what the report names in a log at hand has a page, which reports whether its Receipt verifies.
func TestPages(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	o.Recompute = false
	sources := w.sources()
	sources[0].evidence = func(context.Context, uint64, *scitt.Statement) ([]byte, error) {
		return nil, errors.New("<b>no</b> key")
	}
	view := w.auditor.view(len(w.auditor.entries))
	sources[1].evidence = func(ctx context.Context, index uint64, s *scitt.Statement) ([]byte, error) {
		receipt, err := view.Receipt(ctx, index, scitt.LeafHash(s.Entry()))
		if err != nil {
			return nil, err
		}
		return scitt.AttachReceipts(s, receipt), nil
	}
	r := must(Make(t.Context(), sources, o))(t)
	page, entries, err := r.pages(t.Context(), sources, "r.files", "../r.html")
	if err != nil {
		t.Fatal(err)
	}
	for name := range entries {
		if !strings.Contains(string(page), `href="r.files/`+name+`"`) {
			t.Errorf("nothing leads to %s", name)
		}
	}
	newest := r.Assessments[0].Series[0].Newest().Entry.EntryRef
	golden(t, "entry.html", entries[pageName(newest)])
	for _, word := range []string{"files and verified", "«Example Audit Ltd»", "Receipt", "--index 79 "} {
		if !strings.Contains(string(entries[pageName(newest)]), word) {
			t.Errorf("the page has not %q", word)
		}
	}
	theirs := r.Endorsements.List[0].Target.EntryRef
	if got := string(entries[pageName(theirs)]); !strings.Contains(got, "could not be made and verified: &lt;b&gt;no&lt;/b&gt; key") || strings.Contains(got, "files and verified") {
		t.Errorf("a Receipt that does not verify: %.200s", got)
	}
	// An entry that the log does not have there has no page of another one.
	for _, e := range r.Endorsements.List {
		if e.Target.State == targetAbsent && strings.Contains(string(page), "r.files/"+pageName(e.Target.EntryRef)+`">entry`) {
			t.Errorf("a page of %v", e.Target)
		}
	}
}
