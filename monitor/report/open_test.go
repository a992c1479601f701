package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

func TestStateOf(t *testing.T) {
	for err, want := range map[error]state{
		party.ErrForked: stateForked, party.ErrRolledBack: stateRolledBack, tiles.ErrOtherLog: stateOtherLog,
		party.ErrKeysChanged: stateKeysChanged, tiles.ErrCorrupt: stateCorrupt, tiles.ErrKeys: stateCorrupt, scitt.ErrCheckpoint: stateCorrupt,
		errors.New("connection refused"): stateUnreachable, witness.ErrQuorum: stateUnwitnessed, witness.ErrStale: stateUnwitnessed,
	} {
		if got := stateOf(fmt.Errorf("the log: %w", err)); got != want {
			t.Errorf("%v is %s, not %s", err, got, want)
		}
	}
}

// TestOpenRoles: a log that is given several times is one log with several roles, and a
// token is not sent to a storage that nobody named for it.
func TestOpenRoles(t *testing.T) {
	dir, o := t.TempDir(), party.Options{Token: "a-token"}
	l := Locations{Provider: []string{dir}, Own: []string{dir + "/"}, Other: []string{dir, dir}}
	sources, err := l.Open(t.Context(), o)
	if err != nil || len(sources) != 1 || !slices.Equal(sources[0].roles, []role{roleProvider, roleOwn, roleOther}) {
		t.Errorf("%v, %+v", err, sources)
	}
	l.Auditor = []string{t.TempDir()}
	for want, l := range map[string]Locations{"needs --artifacts": l, "no log": {}} {
		if _, err := l.Open(t.Context(), o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	o.Artifacts = t.TempDir()
	if _, err := l.Open(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// TestOpenFork: a log that signed two histories is in the report, with the proof, also
// when it shows one of them again. What it shows less than before is only unread.
func TestOpenFork(t *testing.T) {
	keys, dir, home := testlog.NewKeys(t), t.TempDir(), party.Home(t.TempDir())
	var r *Report
	open := func(o party.Options) Source {
		t.Helper()
		sources := must(Locations{Auditor: []string{dir}}.Open(t.Context(), o))(t)
		r = must(Make(t.Context(), sources, Options{From: first, To: first.Add(day), At: first.Add(2 * day), Stale: day}))(t)
		return sources[0]
	}
	for _, c := range []struct {
		size                int
		history             string
		state               state
		before              bool
		proofs              int
		contradicts, unread string
	}{
		{3, "a", stateGood, false, 0, "", ""},
		{3, "b", stateForked, false, 1, "forked", ""},
		{4, "a", stateGood, true, 1, "signed two histories", ""},
		{2, "a", stateRolledBack, false, 0, "", "could not be read"},
	} {
		var files testlog.Files
		var entries [][]byte
		for i := range c.size {
			entries = append(entries, fmt.Appendf(nil, "%s %d", c.history, i))
		}
		files.Publish(t, keys, entries)
		files.WriteTo(t, dir)
		s := open(party.Options{Home: home, VKeys: keys.VKeys})
		if s.state != c.state || s.seenBefore != c.before || len(s.proofs) != c.proofs || (s.keys == keysGiven) != (c.state == stateGood) || (r.Level == critical) != (c.proofs > 0) {
			t.Errorf("%s of %d: %s, %+v", c.history, c.size, r.Level, s)
		}
		contradictions, unread := r.Verdict()
		for want, got := range map[string][]string{c.contradicts: contradictions, c.unread: unread} {
			if (want == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, "; "), want) {
				t.Errorf("%s of %d: %q and %q", c.history, c.size, contradictions, unread)
			}
		}
	}
	// The keys of another log do not count for this one: it is not known yet.
	if s := open(party.Options{VKeys: testlog.NewKeysOf(t, "another.example").VKeys}); s.state != stateGood || s.keys != keysFirstUse {
		t.Errorf("%+v", s)
	}
}
