package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestChanges: what came and what went since the report before, and nothing about what one of the two does not know.
func TestChanges(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	o.Recompute = false
	r := must(Make(t.Context(), w.sources(), o))(t)
	if page := string(must(r.HTML())(t)); r.Before != nil || !strings.Contains(page, "There is no earlier report to hold this one against") {
		t.Error("without a report before, the page does not say so")
	}
	o.Before = must(Parse(must(r.JSON())(t)))(t)
	same := must(Make(t.Context(), w.sources(), o))(t)
	if b := same.Before; b == nil || len(b.Figures)+len(b.New)+len(b.Gone) != 0 || !b.Whole || b.At != r.At {
		t.Errorf("the same again: %+v", same.Before)
	}
	if page := string(must(same.HTML())(t)); !strings.Contains(page, "Nothing changed that is counted") {
		t.Error("the page does not say that nothing changed")
	}

	at := first.Add(30*day - time.Hour)
	w.report("db-replica-3", first.Add(15*day+9*time.Hour), nil) // it was missing
	w.observe("fresh", at.Add(-time.Hour), nil)                  // it is missing now
	next := must(Make(t.Context(), w.sources(), o))(t)
	var got []string
	for _, c := range next.Before.New {
		got = append(got, fmt.Sprint("new ", c.Kind, " ", c.UID))
	}
	for _, c := range next.Before.Gone {
		got = append(got, fmt.Sprint("gone ", c.Kind, " ", c.UID))
	}
	for _, f := range next.Before.Figures {
		got = append(got, fmt.Sprint(f.Name, " ", f.Before, " ", f.Now, " ", f.Trend))
	}
	if want := []string{"new missing fresh", "gone missing db-replica-3", "objects 12 13 other"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	page := string(must(next.HTML())(t))
	for _, word := range []string{"fresh", "db-replica-3", "not missing any more"} {
		if !strings.Contains(page, word) {
			t.Errorf("the page has not %q", word)
		}
	}

	// A comparison that failed, or lists a part, says nothing of what came or went.
	for name, edit := range map[string]func(c *comparison){
		"failed": func(c *comparison) { c.State = "failed" }, "a part": func(c *comparison) { c.FindingsMore = 1 },
		"unread":     func(c *comparison) { c.Reported.Unread.Unchecked = 1 },
		"other logs": func(c *comparison) { c.Observed.Checkpoint.Origin = "elsewhere" },
	} {
		o.Before = must(Parse(must(r.JSON())(t)))(t)
		edit(&o.Before.Comparisons[0])
		if b := must(Make(t.Context(), w.sources(), o))(t).Before; b.Whole || len(b.New)+len(b.Gone) != 0 {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestTrend(t *testing.T) {
	for f, want := range map[figure]trend{
		{Name: "missing", Before: "1", Now: "2"}: trendWorse, {Name: "missing", Before: "1,000", Now: "999"}: trendBetter,
		{Name: figureCoverage, Before: "9.50 %", Now: "100 %"}: trendBetter, {Name: figureCoverage, Before: "100 %", Now: "99.99 %"}: trendWorse,
		{Name: figureAll, Before: "1", Now: "2"}: trendOther, {Name: "missing", Now: "2"}: trendOther, {Name: "missing", Before: "2"}: trendOther,
		{Name: figureState, Before: "a", Now: "b"}: trendOther, {About: "Endorsements", Name: "expired", Before: "1", Now: "2"}: trendOther,
	} {
		if got := f.went(); got != want {
			t.Errorf("%+v: %s, want %s", f, got, want)
		}
	}
}

// TestParseState: a state that no log can have is refused.
func TestParseState(t *testing.T) {
	data := must(os.ReadFile("testdata/report.json"))(t)
	odd := bytes.Replace(data, []byte(`"state": "good"`), []byte(`"state": ""`), 1)
	if _, err := Parse(odd); !errors.Is(err, ErrReport) || bytes.Equal(odd, data) {
		t.Errorf("a log without a state: %v", err)
	}
}

// FuzzParse: what is read is a report whose page can be made, and which can be held against.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"report", "hostile", "empty"} {
		f.Add(must(os.ReadFile("testdata/" + name + ".json"))(f))
	}
	f.Add([]byte(`{"format":"conmotion-report/1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrReport) {
				t.Fatal(err)
			}
			return
		}
		must(r.HTML())(t)
		m := &maker{Options: Options{Before: r}, r: must(Parse(data))(t)}
		m.changed()
		if n := len(m.r.Before.Figures) + len(m.r.Before.New) + len(m.r.Before.Gone); n != 0 {
			t.Fatalf("%d changes of a report against itself", n)
		}
	})
}
