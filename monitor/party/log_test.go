package party_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
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
	p.refuses(party.ErrOtherLog, `is of "transparency.example", and "other.example" is meant`)
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
	p.refuses(party.ErrOtherLog, `"transparency.example" on 2026-07-01 and is "other.example"`)
	// Without a configuration its checkpoint tells.
	p.o.VKeys = nil
	p.files.Put(tiles.ConfigurationPath, nil)
	p.refuses(party.ErrOtherLog, `its checkpoint is of "other.example"`)
	// What is no checkpoint at all is no other log.
	p.files.Put(tiles.CheckpointPath, []byte("<html>\nnothing here\n"))
	if err := p.refuses(nil, "checkpoint does not verify"); errors.Is(err, party.ErrOtherLog) {
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

// mirror makes a directory with n entries of a history, whose first are common.
func (p *place) mirror(n, common int, history string) string {
	p.t.Helper()
	dir := p.t.TempDir()
	var files testlog.Files
	files.Publish(p.t, p.keys, append(entries(common, 1, "a"), entries(n, 0, history)[common:]...))
	files.WriteTo(p.t, dir)
	return dir
}

// TestOpenMirror: all addresses of an origin are one log, and what was seen at
// one of them binds the others.
func TestOpenMirror(t *testing.T) {
	p := newPlace(t)
	p.publish(300, "a")
	p.opens(300)
	old, ahead := p.mirror(200, 200, "a"), p.mirror(310, 310, "a")
	p.location = old
	p.opens(200)
	p.noticed("is stale: it shows 200 entries, and 300 were seen")
	p.location = ahead
	p.opens(310)
	p.noticed()
	// The files that prove it may be at any address.
	p.location = p.url
	p.opens(300)
	p.noticed("is stale: it shows 300 entries, and 310 were seen")
	p.files.Clear()
	p.publish(320, "b")
	p.proven(310, 320)
	p.location = p.mirror(320, 305, "b")
	p.proven(310, 320)
	// A shorter fork at an address that was never seen.
	p.location = p.mirror(205, 150, "b")
	p.proven(205, 310)
	// Where the larger tree is not to be read, a copy is not good, and no fork.
	if err := os.RemoveAll(ahead); err != nil {
		t.Fatal(err)
	}
	err := p.refuses(party.ErrRolledBack, "cannot be checked")
	p.location = old
	if err := errors.Join(err, p.refuses(party.ErrRolledBack, "cannot be checked")); errors.Is(err, party.ErrForked) {
		t.Error(err)
	}
	p.o.Home = ""
	p.opens(200)
}

// TestOpenOtherKeys: another log under the same origin is refused at whatever
// address, and another log at a known address.
func TestOpenOtherKeys(t *testing.T) {
	p := newPlace(t)
	p.opens(3)
	mine := p.keys
	p.keys = testlog.NewKeys(t)
	p.location = p.mirror(3, 3, "a")
	p.refuses(party.ErrKeysChanged, "is of \"transparency.example\", which at "+p.url+" showed others on 2026-07-01")
	// Its keys are trusted when they are given, and from then on.
	p.o.VKeys = p.keys.VKeys
	p.opens(3)
	p.o.VKeys = nil
	p.opens(3)
	p.noticed()
	p.location = p.url
	p.refuses(party.ErrKeysChanged, "showed others")
	// Of keys that were given in part the others do not count, whoever shows them.
	p.o.Home = party.Home(t.TempDir())
	p.o.VKeys = mine.VKeys[:1]
	p.opens(3)
	p.noticed()
	p.o.VKeys = nil
	for range 2 {
		if l := p.opens(3); l.FirstUse || !slices.Equal(l.VKeys, mine.VKeys[:1]) {
			t.Errorf("%+v", l)
		}
		p.noticed("shows more keys than were given for it")
	}
	// All that are given count, and a part that is given later takes none away.
	p.o.VKeys = mine.VKeys
	p.opens(3)
	p.o.VKeys = mine.VKeys[:1]
	if l := p.opens(3); l.FirstUse {
		t.Errorf("%+v", l)
	}
	p.o.VKeys = nil
	if l := p.opens(3); len(l.VKeys) != 2 {
		t.Errorf("%+v", l)
	}
	p.noticed()
}

// TestOpenVKeys: of the keys of several logs those count that are of this one.
func TestOpenVKeys(t *testing.T) {
	p := newPlace(t)
	other := testlog.NewKeysOf(t, "other.example").VKeys
	p.o.VKeys = append(slices.Clone(other), p.keys.VKeys...)
	if l := p.opens(3); !slices.Equal(l.VKeys, p.keys.VKeys) || l.FirstUse {
		t.Errorf("%+v", l)
	}
	p.o.VKeys = other
	p.refuses(party.ErrOtherLog, `its checkpoint is of "transparency.example", and the trusted keys are of "other.example"`)
	p.o.Home, p.o.SomeVKeys = party.Home(t.TempDir()), true
	if l := p.opens(3); !l.FirstUse {
		t.Errorf("%+v", l)
	}
	p.o.VKeys, p.o.SomeVKeys = []string{"nonsense"}, false
	p.refuses(party.ErrVKeys, "nonsense")
	p.o.VKeys = []string{p.keys.VKeys[1]}
	p.refuses(party.ErrVKeys, "no Ed25519 verifier key")
	// Keys from elsewhere are taken where the location shows none.
	p.files.Put(tiles.ConfigurationPath, nil)
	p.o.VKeys, p.o.Home = nil, party.Home(t.TempDir())
	p.refuses(nil, "no keys for the log at")
	p.o.FirstKeys = p.keys.VKeys
	if l := p.opens(3); !l.FirstUse {
		t.Errorf("%+v", l)
	}
	p.o.FirstKeys = nil
	p.opens(3) // they are remembered
}

// TestOpenExamine: a damaged log can be opened to look for the damage, and
// nothing of it is remembered. Its keys and a fork are no damage.
func TestOpenExamine(t *testing.T) {
	p := newPlace(t)
	p.publish(300, "a")
	p.opens(300)
	p.o.Examine = true
	if l := p.opens(300); l.Damage != nil {
		t.Error(l.Damage)
	}
	path := tiles.TilePath(0, 1, 44)
	good := testlog.Must(p.files.Get(t.Context(), path))(t)
	for _, data := range [][]byte{nil, make([]byte, len(good))} {
		p.files.Put(path, data)
		l, err := p.open()
		if err != nil || l.Damage == nil || l.View != nil || l.Checkpoint.Size != 300 {
			t.Errorf("%+v, %v", l, err)
		}
	}
	cp := testlog.Must(p.files.Get(t.Context(), tiles.CheckpointPath))(t)
	p.files.Put(tiles.CheckpointPath, bytes.Replace(cp, []byte("\n300\n"), []byte("\n301\n"), 1))
	if l, err := p.open(); err != nil || !errors.Is(l.Damage, scitt.ErrCheckpoint) || l.Checkpoint != nil || l.Files == nil {
		t.Errorf("%+v, %v", l, err)
	}
	p.publish(600, "a")
	p.files.Put(tiles.TilePath(0, 1, 0), make([]byte, 256*32))
	if l, err := p.open(); err != nil || l.Damage == nil || l.Checkpoint.Size != 600 {
		t.Errorf("%+v, %v", l, err)
	}
	p.files.Clear()
	p.publish(300, "b")
	p.files.Put(path, nil)
	p.proven(300, 300)
	p.files.Clear()
	p.publish(400, "a")
	if l := p.opens(400); l.Damage != nil || l.Previous.Size != 300 {
		t.Errorf("%+v", l)
	}
}

// TestOpenGrows: a log that grew between the look at it and the one of another
// process at what is remembered is neither stale nor rolled back.
func TestOpenGrows(t *testing.T) {
	p := newPlace(t)
	p.publish(300, "a")
	p.opens(300)
	p.o.Newest = true
	behind := testlog.Must(p.files.Get(t.Context(), tiles.CheckpointPath))(t)
	p.publish(310, "a")
	p.opens(310)
	asked := 0
	p.files.Serve(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.TrimPrefix(r.URL.Path, "/") != tiles.CheckpointPath {
			return false
		}
		if asked++; asked > 1 {
			return false
		}
		_, _ = w.Write(behind)
		return true
	})
	p.opens(310)
	p.noticed()
	if asked != 2 {
		t.Errorf("%d looks", asked)
	}
}

// TestOpenAtOnce: of processes that open a log at once each compares with what
// the others saw, so the newest checkpoint is remembered.
func TestOpenAtOnce(t *testing.T) {
	p := newPlace(t)
	p.o.Notice = nil
	var group sync.WaitGroup
	for n := range 8 {
		dir := p.mirror(500+n, 500+n, "a")
		group.Go(func() {
			if _, err := party.Open(t.Context(), dir, p.o); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	k := testlog.Must(p.o.Home.Known(testlog.Origin))(t)
	if !strings.Contains(k.Checkpoint, "\n507\n") || len(k.Addresses) != 8 {
		t.Errorf("%+v", k)
	}
}

func TestOpenDirectory(t *testing.T) {
	p := newPlace(t)
	service := t.TempDir()
	public := filepath.Join(service, "public")
	p.files.WriteTo(t, public)
	p.location = service
	p.refuses(nil, "did you mean "+public+"?")
	t.Chdir(service)
	p.location = "public"
	p.opens(3)
	p.noticed("is new here")
	p.location = public
	if l := p.opens(3); l.Location != public || party.IsURL(l.Location) {
		t.Errorf("location %q", l.Location)
	}
	p.noticed() // known by whatever name
	p.location = p.url + "/"
	if l := p.opens(3); !party.IsURL(l.Location) {
		t.Errorf("location %q", l.Location)
	}
	p.noticed()
	p.location = filepath.Join(service, "nowhere")
	p.refuses(os.ErrNotExist, "nowhere")
}

// TestOpenDamagedHome: a damaged memory is neither believed nor forgotten.
func TestOpenDamagedHome(t *testing.T) {
	p := newPlace(t)
	p.opens(3)
	files := testlog.Must(filepath.Glob(filepath.Join(string(p.o.Home), "logs", "*")))(t)
	if len(files) != 1 {
		t.Fatalf("files %q", files)
	}
	good := testlog.Must(os.ReadFile(files[0]))(t)
	for _, bad := range []string{"", "{}", "null", string(good[:len(good)/2]), strings.Replace(string(good), `\n3\n`, `\n2\n`, 1)} {
		if err := os.WriteFile(files[0], []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		p.refuses(party.ErrDamaged, "is damaged")
		if got := testlog.Must(os.ReadFile(files[0]))(t); string(got) != bad {
			t.Error("it was overwritten")
		}
	}
	if err := os.WriteFile(files[0], good, 0o600); err != nil {
		t.Fatal(err)
	}
	p.opens(3)
}
