package party_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
)

// entries are n entries of a history that differs from entry "from" on.
func entries(n, from int, history string) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		name := "common"
		if i >= from {
			name = history
		}
		out[i] = fmt.Appendf(nil, "%s %d", name, i)
	}
	return out
}

// place is a location with a log, and a participant who opens it.
type place struct {
	t        *testing.T
	keys     *testlog.Keys
	files    testlog.Files
	url      string
	o        party.Options
	notices  []string
	location string
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, keys: testlog.NewKeys(t)}
	server := httptest.NewServer(&p.files)
	t.Cleanup(server.Close)
	p.url, p.location = server.URL, server.URL
	p.o = party.Options{
		Home:   party.Home(t.TempDir()),
		Notice: func(format string, args ...any) { p.notices = append(p.notices, fmt.Sprintf(format, args...)) },
		Now:    func() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) },
	}
	p.publish(3, "a")
	return p
}

// publish shows n entries of a history; they have entry 0 in common.
func (p *place) publish(n int, history string) {
	p.files.Publish(p.t, p.keys, entries(n, 1, history))
}

func (p *place) open() (*party.Log, error) {
	p.notices = nil
	return party.Open(p.t.Context(), p.location, p.o)
}

func (p *place) opens(size uint64) *party.Log {
	p.t.Helper()
	l, err := p.open()
	if err != nil {
		p.t.Fatal(err)
	}
	if l.View.Checkpoint.Size != size {
		p.t.Fatalf("size %d, want %d", l.View.Checkpoint.Size, size)
	}
	return l
}

// refuses expects an error of a kind, with this text.
func (p *place) refuses(kind error, text string) error {
	p.t.Helper()
	_, err := p.open()
	if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		p.t.Fatalf("got %v, want %v: %s", err, kind, text)
	}
	return err
}

// noticed expects exactly these notices.
func (p *place) noticed(pieces ...string) {
	p.t.Helper()
	if len(p.notices) != len(pieces) {
		p.t.Fatalf("notices %q", p.notices)
	}
	for i, piece := range pieces {
		if !strings.Contains(p.notices[i], piece) {
			p.t.Errorf("notice %q, want %q", p.notices[i], piece)
		}
	}
}

func TestOpenFirstUse(t *testing.T) {
	p := newPlace(t)
	l := p.opens(3)
	p.noticed("its keys are taken on first use")
	if !slices.Equal(l.VKeys, p.keys.VKeys) || l.Configuration.Origin != testlog.Origin {
		t.Errorf("%+v", l)
	}
	p.publish(300, "a")
	p.opens(300)
	p.noticed()
	// Of another log than the one that is meant nothing is taken.
	p.o.Origin = "other.example"
	p.refuses(tiles.ErrOtherLog, `is of "transparency.example", and "other.example" is meant`)
	p.o.Origin = testlog.Origin
	p.opens(300)
	// Without a memory nothing is written and everybody is warned.
	p.o.Home = ""
	p.opens(300)
	p.noticed("keys are read from the same place")
	p.o.VKeys = p.keys.VKeys
	p.opens(300)
	p.noticed()
	// Without a configuration keys must be known.
	p.files.Put(tiles.ConfigurationPath, nil)
	p.opens(300)
	p.o.VKeys = nil
	p.refuses(nil, "no keys for the log at")
}

func TestOpenKeysChanged(t *testing.T) {
	p := newPlace(t)
	p.opens(3)
	old := p.keys
	p.keys = testlog.NewKeys(t) // of the same name
	p.publish(4, "a")
	p.refuses(party.ErrKeysChanged, "showed others on 2026-07-01")
	// The operator confirms them.
	p.o.VKeys = p.keys.VKeys
	p.opens(4)
	p.o.VKeys = nil
	p.opens(4)
	// And a copy with the old keys is refused from now on.
	p.keys = old
	p.publish(5, "a")
	p.refuses(party.ErrKeysChanged, "showed others")
}

func TestOpenOtherLog(t *testing.T) {
	p := newPlace(t)
	p.opens(3)
	p.keys = testlog.NewKeysOf(t, "other.example")
	p.publish(4, "a")
	// Its configuration shows that other keys are here.
	p.refuses(party.ErrKeysChanged, "")
	p.o.VKeys = p.keys.VKeys
	p.refuses(tiles.ErrOtherLog, `"transparency.example" on 2026-07-01 and is "other.example"`)
	// Without a configuration its checkpoint tells.
	p.o.VKeys = nil
	p.files.Put(tiles.ConfigurationPath, nil)
	p.refuses(tiles.ErrOtherLog, `its checkpoint is of "other.example"`)
	// What is not a checkpoint at all is no other log.
	p.files.Put(tiles.CheckpointPath, []byte("<html>\nnothing here\n"))
	if err := p.refuses(nil, "checkpoint does not verify"); errors.Is(err, tiles.ErrOtherLog) {
		t.Error(err)
	}
}

// proven expects a fork with its proof, in Home and valid.
func (p *place) proven(older, newer uint64) {
	p.t.Helper()
	err := p.refuses(party.ErrForked, "the proof, for anybody to verify, is "+string(p.o.Home))
	h, ok := errors.AsType[*party.HistoryError](err)
	if !ok || h.Older.Size != older || h.Newer.Size != newer {
		p.t.Fatalf("%v", err)
	}
	data, err := os.ReadFile(h.ProofFile)
	if err != nil {
		p.t.Fatal(err)
	}
	e, err := tiles.ParseEquivocation(data)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, _, err := e.Verify(p.keys.Verifiers); err != nil || e.VKey != p.keys.VKeys[0] {
		p.t.Errorf("the proof: %v, key %q", err, e.VKey)
	}
}

func TestOpenForks(t *testing.T) {
	for name, c := range map[string]struct {
		first, then  int
		older, newer uint64
		clear        bool
	}{
		"same size":                         {300, 300, 300, 300, false},
		"same size, with the tiles gone":    {300, 300, 300, 300, true},
		"larger":                            {300, 600, 300, 600, true},
		"from a power of two":               {256, 600, 256, 600, true},
		"smaller, with the older tree kept": {600, 300, 300, 600, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.publish(c.first, "a")
			p.opens(uint64(c.first))
			if c.clear {
				p.files.Clear()
			}
			p.publish(c.then, "b")
			if c.first == c.then && c.clear {
				p.files.Put(tiles.TilePath(0, 1, c.then-256), nil)
			}
			if c.first > c.then {
				// The full tiles of the first history are still there.
				var first testlog.Files
				first.Publish(t, p.keys, entries(c.first, 1, "a"))
				for _, path := range []string{tiles.TilePath(0, 0, 0), tiles.TilePath(0, 1, 0)} {
					p.files.Put(path, testlog.Must(first.Get(t.Context(), path))(t))
				}
			}
			p.proven(c.older, c.newer)
			p.proven(c.older, c.newer) // it is not forgotten
			// The first history is still good.
			p.files.Clear()
			p.publish(c.first+1, "a")
			p.opens(uint64(c.first) + 1)
		})
	}
}

// TestRefresh: a log that is open goes on with what extends it, stays where it is
// when the location is behind, and is not taken to another history.
func TestRefresh(t *testing.T) {
	p := newPlace(t)
	p.publish(300, "a")
	l := p.opens(300)
	for _, c := range []struct {
		publish int
		history string
		size    uint64
		err     error
	}{
		{310, "a", 310, nil},
		{305, "a", 310, nil},
		{320, "b", 310, party.ErrForked},
		{310, "b", 310, party.ErrForked},
		{330, "a", 330, nil},
	} {
		p.files.Clear()
		p.publish(c.publish, c.history)
		if err := l.Refresh(t.Context(), p.o); !errors.Is(err, c.err) {
			t.Errorf("%d of %s: %v", c.publish, c.history, err)
		}
		if got := l.View.Checkpoint.Size; got != c.size {
			t.Errorf("%d of %s: size %d, want %d", c.publish, c.history, got, c.size)
		}
	}
	// It is remembered as if the log were opened again.
	if k := testlog.Must(p.o.Home.Known(testlog.Origin))(t); !strings.Contains(k.Checkpoint, "\n330\n") {
		t.Errorf("%+v", k)
	}
}

// TestOpenForksBack: when the files of both histories are there, a smaller
// checkpoint that is not of the first one is a fork too.
func TestOpenForksBack(t *testing.T) {
	p := newPlace(t)
	p.publish(200, "a")
	p.opens(200)
	p.publish(100, "b") // partial tiles of another width
	p.proven(100, 200)
}

// TestOpenOlder: a checkpoint that is smaller than one that was seen is stale
// when the files of the larger tree prove both to be one history, and else it
// is not good.
func TestOpenOlder(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.publish(300, "a")
	p.opens(300)
	p.publish(200, "a") // beside the tiles of the larger tree
	p.opens(200)
	p.noticed("is stale: it shows 200 entries, and 300 were seen; both are one history")
	p.o.Newest = true
	err := p.refuses(party.ErrRolledBack, "both are one history")
	if h, ok := errors.AsType[*party.HistoryError](err); !ok || !h.OneHistory || h.Proof != nil || h.Older.Size != 300 {
		t.Errorf("%v", err)
	}
	p.o.Newest = false
	// Without the larger tree's tiles nobody can tell.
	for _, history := range []string{"a", "b"} {
		p.files.Clear()
		p.publish(200, history)
		err := p.refuses(party.ErrRolledBack, "300 entries with root")
		if h, ok := errors.AsType[*party.HistoryError](err); !ok || h.OneHistory || h.Proof != nil || h.ProofFile != "" || !strings.Contains(err.Error(), "cannot be checked") {
			t.Errorf("%v", err)
		}
	}
	// Nothing of that was remembered.
	p.files.Clear()
	p.publish(300, "a")
	p.opens(300)
	p.noticed()
}

// TestOpenRestored: a log that was restored from a backup is stale; when it then
// grows to other entries it is not good, and a fork as soon as that can be proven.
func TestOpenRestored(t *testing.T) {
	p := newPlace(t)
	p.publish(300, "a")
	p.opens(300)
	restore := func(n, from int) {
		p.files.Clear()
		p.files.Publish(t, p.keys, entries(n, 1, "a")[:200])
		p.files.Publish(t, p.keys, append(entries(200, 1, "a"), entries(n, from, "b")[200:]...))
	}
	restore(250, 200)
	p.refuses(party.ErrRolledBack, "cannot be checked")
	restore(300, 200)
	p.proven(300, 300)
	restore(350, 200)
	p.proven(300, 350)
}

// TestOpenWrongTile: a wrong tile behind the root is not called a fork.
func TestOpenWrongTile(t *testing.T) {
	p := newPlace(t)
	p.publish(300, "a")
	p.opens(300)
	p.publish(600, "a")
	path := tiles.TilePath(0, 1, 0)
	good := testlog.Must(p.files.Get(t.Context(), path))(t)
	p.files.Put(path, make([]byte, len(good)))
	if err := p.refuses(tiles.ErrCorrupt, "show neither"); errors.Is(err, party.ErrForked) {
		t.Error(err)
	}
	p.files.Put(path, good)
	p.opens(600)
}
