package party_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

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
	p.refuses(tiles.ErrOtherLog, `its checkpoint is of "transparency.example", and the trusted keys are of "other.example"`)
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
