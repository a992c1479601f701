package party_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

func quiet(string, ...any) {}

// TestEndorsementsOf: an endorsement holds until it is withdrawn, which only its issuer
// can do, and what it embeds is verified where the entry's log is open.
func TestEndorsementsOf(t *testing.T) {
	provider, auditor := newSomebody(t, "provider"), newSomebody(t, "auditor")
	ref, l, entry := provider.adds(record(t, "", "i-1")).newest()
	transparent, _, err := l.Evidence(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	auditor.adds(&monitor.Endorsement{Entry: ref, Home: "auditor.example", Verdict: monitor.Endorse, Scope: []string{"existence"}, From: noon, Until: noon.Add(time.Hour), Transparent: transparent})
	said, log, e := auditor.newest()
	holds := func(want monitor.Standing, evidence string, logs ...*party.Log) {
		t.Helper()
		got, err := party.EndorsementsOf(t.Context(), entry.Statement.ID(), logs, nil, noon.Add(time.Minute), quiet)
		if err != nil || got.Wrong != nil || len(got.Unread) != 0 || len(got.Endorsements) != 1 || got.Endorsements[0].Standing != want || got.Endorsements[0].Evidence != evidence {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	holds(monitor.Holds, witness.OK, l, log)
	holds(monitor.Holds, witness.NotChecked, log)
	if home, err := log.Withdrawable(t.Context(), e, testlog.DIDJWK(t, auditor.key)); err != nil || home != "auditor.example" {
		t.Errorf("%s, %v", home, err)
	}
	auditor.adds(&monitor.Endorsement{Entry: said, Home: "auditor.example", Verdict: monitor.Withdraw, From: noon})
	_, log, withdrawal := auditor.newest()
	holds("withdrawn", witness.NotChecked, log)
	for want, c := range map[string]struct {
		log    *party.Log
		entry  *party.Entry
		issuer string
	}{
		"it is a withdrawal itself":                  {log, withdrawal, testlog.DIDJWK(t, auditor.key)},
		"it is by another issuer":                    {log, e, testlog.DIDJWK(t, provider.key)},
		"it is neither an endorsement nor a dispute": {l, entry, testlog.DIDJWK(t, provider.key)},
	} {
		if _, err := c.log.Withdrawable(t.Context(), c.entry, c.issuer); err == nil || !party.Refutes(err) || !strings.Contains(err.Error(), want[6:]) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestFsck: a good log has no problem, a wrong tile and one that is gone are each one, and
// a checkpoint that is damaged is the only one.
func TestFsck(t *testing.T) {
	s := newSomebody(t, "provider").adds(record(t, "", "i-1"))
	tile := filepath.Join(s.dir, filepath.FromSlash(tiles.TilePath(0, 0, len(s.entries))))
	good := testlog.Must(os.ReadFile(tile))(t)
	for name, c := range map[string]struct {
		damage func() error
		want   error
	}{
		"good":         {func() error { return nil }, nil},
		"a wrong tile": {func() error { return os.WriteFile(tile, make([]byte, len(good)), 0o600) }, tiles.ErrCorrupt},
		"no tile":      {func() error { return os.Remove(tile) }, os.ErrNotExist},
		"no checkpoint that verifies": {func() error {
			return os.WriteFile(filepath.Join(s.dir, tiles.CheckpointPath), []byte("provider.example\n"), 0o600)
		}, nil},
	} {
		s.publish()
		if err := c.damage(); err != nil {
			t.Fatal(err)
		}
		log, err := party.Open(t.Context(), s.dir, party.Options{Examine: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := log.Fsck(t.Context(), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if good := name == "good"; r.OK != good || r.Unsure != nil || (r.Count == 0) != good || c.want != nil && !errors.Is(errors.Join(r.Wrong...), c.want) {
			t.Errorf("%s: %+v", name, r)
		}
		if len(r.Problems) != r.Count || (r.Size == uint64(len(s.entries)) && r.Origin == "provider.example") != (log.Checkpoint != nil) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
