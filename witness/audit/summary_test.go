package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/tiles"
)

// TestOutcome: a log is called good only when all of it was looked at and nothing was found, and
// what was found is not hidden by what could not be looked at.
func TestOutcome(t *testing.T) {
	bad, twice := map[string]uint64{CheckDuplicate: 1, "key": 1}, map[string]uint64{CheckDuplicate: 2}
	for name, c := range map[string]struct {
		s       Summary
		outcome Outcome
		text    string
		why     string
	}{
		"good":               {Summary{Complete: true, Size: 3, Done: 3}, Good, "good: every entry was admitted", ""},
		"from an entry on":   {Summary{Complete: true, Since: 7}, Good, "good: every entry from entry 7 on was admitted", ""},
		"bad":                {Summary{Complete: true, Violations: 2, Checks: bad}, Bad, "BAD: 2 violations", "not what an honest service would have written: 2 violations"},
		"bad and incomplete": {Summary{Violations: 2, Checks: bad, Unjudged: 1}, Bad, "BAD: 2 violations", "2 violations"},
		"ended early":        {Summary{Size: 9, Done: 4}, Incomplete, "INCOMPLETE: 4 of 9 entries audited, 0 without their artifacts; no violations", "it ended at entry 4 of 9"},
		"no artifacts":       {Summary{Unjudged: 1, noArtifacts: true}, Incomplete, "1 without their artifacts", "1 entry needs --artifacts to be judged"},
		"out of reach":       {Summary{Unjudged: 2, Unread: "no answer"}, Incomplete, "2 without", "artifacts of 2 entries cannot be read: no answer"},
		"not in the storage": {Summary{Unjudged: 2}, Incomplete, "2 without", "the artifacts of 2 entries are not in the storage"},
		"twice, incomplete":  {Summary{Violations: 2, Checks: twice, Unjudged: 1}, Incomplete, "; 2 duplicates", "not in the storage"},
		"twice":              {Summary{Complete: true, Violations: 2, Checks: twice}, Faulty, "FAULTY: 2 duplicates, and nothing else", "the log has 2 duplicates"},
	} {
		outcome, text, why := c.s.Outcome()
		if outcome != c.outcome || !strings.Contains(text, c.text) || (why == nil) != (c.why == "") || why != nil && !strings.Contains(why.Error(), c.why) {
			t.Errorf("%s: %s, %q, %v", name, outcome, text, why)
		}
	}
}

// TestReadState: a state is read as it was written; one that is not there is the beginning, and
// anything else is an error that names the file.
func TestReadState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if s, err := ReadState(path); s != nil || err != nil {
		t.Errorf("nothing there: %v, %v", s, err)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadState(path); s != nil || err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("something else: %v, %v", s, err)
	}
	w := newWorld(t)
	o := Options{VKeys: w.keys.VKeys, Save: func(s *State) error { return s.Write(path) }}
	a := testlog.Must(New(tiles.NewLog(w.log(w.begin("")...), w.keys.Verifiers), nil, o))(t)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadState(path); err != nil || s.Next != 2 || s.Origin != testlog.Origin {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ReadState(filepath.Dir(path)); s != nil || err == nil {
		t.Errorf("a directory: %v, %v", s, err)
	}
}
