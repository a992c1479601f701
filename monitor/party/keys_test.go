package party_test

import (
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// rotating is a log whose keys change.
type rotating struct {
	*place
	entries [][]byte
	last    []byte // the keys statement in force
}

func newRotating(t *testing.T) *rotating {
	r := &rotating{place: newPlace(t)}
	r.files.Clear()
	r.entries = r.keys.Begin(t, `{"version": 1}`)
	r.last = r.entries[0]
	r.show()
	return r
}

func (r *rotating) show() { r.files.Publish(r.t, r.keys, r.entries) }

// rotate replaces note and receipt key, and adds an entry behind.
func (r *rotating) rotate() {
	r.keys, r.entries = r.keys.Rotate(r.t, r.entries, r.last)
	r.last = r.entries[len(r.entries)-1]
	r.entries = append(r.entries, testlog.Statement(r.t, testlog.Key(r.t, "ES256"), "asset", nil))
}

// announce appends a keys statement.
func (r *rotating) announce(statement []byte) {
	r.entries, r.last = append(r.entries, statement), statement
}

// configure changes what the log shows of itself.
func (r *rotating) configure(change func(*scitt.Configuration)) {
	r.t.Helper()
	c := testlog.Must(scitt.ParseConfiguration(testlog.Must(r.files.Get(r.t.Context(), tiles.ConfigurationPath))(r.t)))(r.t)
	change(c)
	r.files.Put(tiles.ConfigurationPath, testlog.Must(c.Marshal())(r.t))
}

// known is the keys statement that is remembered.
func (r *rotating) known() *scitt.ConfigurationKeys {
	r.t.Helper()
	k := testlog.Must(r.o.Home.Known(testlog.Origin))(r.t)
	return k.Keys
}

// receipt is one by the keys now for entry 1.
func (r *rotating) receipt() []byte {
	r.t.Helper()
	view := testlog.Must(tiles.NewLog(&r.files, r.keys.Verifiers).Latest(r.t.Context()))(r.t)
	return testlog.Must(view.Receipt(r.t.Context(), 1, scitt.LeafHash(r.entries[1])))(r.t)
}

// TestRotations: whoever knows a log at entry 0 follows 20 changes of its keys,
// one by one or all at once, and Receipts by all its keys verify.
func TestRotations(t *testing.T) {
	for name, step := range map[string]int{"one by one": 1, "all at once": 20} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t)
			r.opens(2)
			r.noticed("taken on first use")
			if k := r.known(); k == nil || k.Index != 0 || k.EntryID != testlog.ID(r.last).String() {
				t.Fatalf("remembered %+v", k)
			}
			receipts := [][]byte{r.receipt()}
			var l *party.Log
			for i := range 20 {
				r.rotate()
				r.show()
				receipts = append(receipts, r.receipt())
				if (i+1)%step == 0 {
					l = r.opens(uint64(len(r.entries)))
					r.noticed()
				}
			}
			if k := r.known(); k.Index != uint64(len(r.entries)-2) || k.EntryID != testlog.ID(r.last).String() {
				t.Errorf("remembered %+v", k)
			}
			if !slices.Equal(l.VKeys, r.keys.VKeys) || len(l.VKeys) != 22 || !l.FirstUse {
				t.Errorf("%d keys, first use %v", len(l.VKeys), l.FirstUse)
			}
			k := testlog.Must(r.o.Home.Known(testlog.Origin))(t)
			if len(k.Addresses) != 1 || len(k.ReceiptKeys()) != 21 {
				t.Errorf("remembered %+v", k)
			}
			keys := testlog.Must(l.ReceiptKeys(t.Context()))(t)
			v := scitt.Verifier{LogKeys: keys, IssuerKey: &scitt.Key{Public: r.keys.Service.Public()}}
			st := testlog.Must(scitt.ParseStatement(r.entries[1]))(t)
			out := testlog.Must(v.Verify(scitt.AttachReceipts(st, receipts...)))(t)
			if err := out.Err(); err != nil || len(out.Receipts) != 21 {
				t.Errorf("%d receipts: %v", len(out.Receipts), err)
			}
			for i, receipt := range out.Receipts {
				if receipt.Err != nil {
					t.Errorf("receipt %d: %v", i, receipt.Err)
				}
			}
		})
	}
}

// TestRotationFirstUse: a log that changed its keys before it is new here.
func TestRotationFirstUse(t *testing.T) {
	r := newRotating(t)
	old := r.keys
	r.rotate()
	r.show()
	r.opens(4)
	if k := r.known(); k.Index != 2 {
		t.Errorf("remembered %+v", k)
	}
	// Keys that are given must be those in force: anybody can announce somebody
	// else's note key in an entry 0 of their own, and replace it in entry 1.
	r.o.Home = party.Home(t.TempDir())
	r.o.VKeys = old.VKeys
	r.refuses(scitt.ErrCheckpoint, "")
	r.o.VKeys = r.keys.VKeys
	r.opens(4)
	// So must those of the log's own word.
	r.o.VKeys, r.o.Home = nil, party.Home(t.TempDir())
	r.keys.VKeys = old.VKeys
	r.keys.Note, r.keys.Tree = old.Note, old.Tree
	r.show()
	r.refuses(tiles.ErrKeys, "announces other keys than those that it shows")
}

// TestFirstKeys: keys statements that are not valid are told as that. Whose keys
// they are did not change, and who examines the log can go on.
func TestFirstKeys(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *rotating)
		listed func(*scitt.Configuration)
		kind   error
		text   string
	}{
		"not a statement":    {func(r *rotating) { r.entries[0] = []byte("garbage") }, nil, tiles.ErrKeys, "entry 0: malformed"},
		"cut":                {func(r *rotating) { r.entries[0] = r.entries[0][:40] }, nil, tiles.ErrKeys, "entry 0: malformed"},
		"another signature":  {func(r *rotating) { r.entries[0] = testlog.Garbage(r.entries[0]) }, nil, tiles.ErrKeys, "entry 0: the signature does not verify"},
		"by a stranger":      {func(r *rotating) { r.entries[0] = r.keys.Announce(r.t, testlog.Key(r.t, "ES256"), r.keys.Announced) }, nil, tiles.ErrKeys, "entry 0: no key with that identifier"},
		"a policy":           {func(r *rotating) { r.entries[0] = r.entries[1] }, nil, tiles.ErrKeys, "and the keys statement "},
		"another's":          {func(r *rotating) { r.entries[0] = testlog.NewKeysOf(r.t, "other.example").Begin(r.t, "{}")[0] }, nil, tiles.ErrKeys, "has the subject"},
		"listed elsewhere":   {func(*rotating) {}, func(c *scitt.Configuration) { c.Keys[0].Index = 1 }, tiles.ErrKeys, "is at entry 1 and not at entry 0"},
		"listed as a policy": {func(*rotating) {}, func(c *scitt.Configuration) { c.Keys[0].EntryID = testlog.ID([]byte("x")).String() }, tiles.ErrKeys, "and the keys statement "},
		"a list that is ahead": {func(*rotating) {}, func(c *scitt.Configuration) {
			c.Keys = append(c.Keys, scitt.ConfigurationKeys{EntryID: c.Keys[0].EntryID, Index: 2})
		}, nil, "it lists a keys statement at entry 2, and the checkpoint has 2 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t)
			list := testlog.Must(scitt.ParseConfiguration(testlog.Must(r.files.Get(t.Context(), tiles.ConfigurationPath))(t)))(t).Keys
			c.change(r)
			r.show()
			r.configure(func(shown *scitt.Configuration) {
				if len(shown.Keys) == 0 {
					shown.Keys = list
				}
				if c.listed != nil {
					c.listed(shown)
				}
			})
			remembers := r.o.Home
			for _, home := range []party.Home{remembers, ""} {
				for _, given := range [][]string{nil, r.keys.VKeys} {
					r.o.Home, r.o.VKeys, r.o.Examine = home, given, false
					if err := r.refuses(c.kind, c.text); errors.Is(err, party.ErrKeysChanged) {
						t.Errorf("it accuses: %v", err)
					}
					r.o.Examine = true
					if l := r.opens(2); l.Damage == nil || !strings.Contains(l.Damage.Error(), c.text) {
						t.Errorf("damage %v", l.Damage)
					}
				}
			}
			if logs := testlog.Must(remembers.Logs())(t); len(logs) > 0 {
				t.Errorf("remembered %+v", logs[0])
			}
		})
	}
}

// TestOldEdge: an edge that still has the checkpoint before is not told that the
// log's keys changed.
func TestOldEdge(t *testing.T) {
	r := newRotating(t)
	r.opens(2)
	note, first := r.keys.Note, testlog.Must(r.files.Get(t.Context(), tiles.CheckpointPath))(t)
	vkey := r.keys.Announced.Note[0]
	r.by(r.keys.Service, func(k *scitt.Keys) { k.Note = []string{vkey} })
	r.keys.Note, r.keys.VKeys = note, testlog.Must(r.keys.Announced.VKeys())(t)
	r.show()
	now := testlog.Must(r.files.Get(t.Context(), tiles.CheckpointPath))(t)
	r.files.Put(tiles.CheckpointPath, first)
	if err := r.refuses(nil, "it lists a keys statement at entry 2, and the checkpoint has 2 entries"); errors.Is(err, party.ErrKeysChanged) {
		t.Errorf("it accuses: %v", err)
	}
	r.files.Put(tiles.CheckpointPath, now)
	r.opens(3)
}

// TestRefreshRotation: a log that is open follows new keys too.
func TestRefreshRotation(t *testing.T) {
	r := newRotating(t)
	l := r.opens(2)
	r.rotate()
	r.show()
	if err := l.Refresh(t.Context(), r.o); err != nil || l.Checkpoint.Size != 4 || !slices.Equal(l.VKeys, r.keys.VKeys) {
		t.Errorf("%v, size %d", err, l.Checkpoint.Size)
	}
	r.keys = testlog.NewKeys(t)
	r.show()
	if err := l.Refresh(t.Context(), r.o); !errors.Is(err, party.ErrKeysChanged) || l.Checkpoint.Size != 4 {
		t.Errorf("%v, size %d", err, l.Checkpoint.Size)
	}
}

// TestRecovery: a statement that leaves the keys of checkpoints as they are, and
// one that replaces a lost note key.
func TestRecovery(t *testing.T) {
	r := newRotating(t)
	r.opens(2)
	recovery := testlog.Key(t, "ES256")
	k := *r.keys.Announced
	k.Previous, k.RecoveryKey = testlog.ID(r.last), &testlog.KeySet(t, r.keys.Recovery)[0]
	k.Service, k.Recovery = testlog.KeySet(t, testlog.Key(t, "ES256")), [][]byte{testlog.KeySet(t, recovery)[0].ID}
	r.announce(r.keys.Announce(t, r.keys.Recovery, &k))
	r.show()
	r.opens(3)
	if k := r.known(); k.Index != 2 {
		t.Errorf("remembered %+v", k)
	}
	// The note key is lost: no handover.
	lost := testlog.NewKeys(t)
	lost.Announced.Previous, lost.Announced.RecoveryKey = testlog.ID(r.last), &testlog.KeySet(t, recovery)[0]
	r.announce(lost.Announce(t, recovery, lost.Announced))
	r.keys = lost
	r.show()
	r.opens(4)
	if k := r.known(); k.Index != 3 {
		t.Errorf("remembered %+v", k)
	}
	// A recovery key is used once.
	again := testlog.NewKeys(t)
	again.Announced.Previous, again.Announced.RecoveryKey = testlog.ID(r.last), &testlog.KeySet(t, recovery)[0]
	r.announce(again.Announce(t, recovery, again.Announced))
	r.keys = again
	r.show()
	r.refuses(party.ErrKeysChanged, "was not announced")
}

// handover makes a checkpoint by some keys the handover of the last statement.
func (r *rotating) handover(keys *testlog.Keys, size int, root []byte) {
	if root == nil {
		root = testlog.WriteTree(r.entries[:size], func(string, []byte) {})
	}
	r.keys.Handovers[string(r.last)] = string(keys.Checkpoint(r.t, uint64(size), root))
}

// by is rotate with a statement that is signed by this key, and changed.
func (r *rotating) by(key crypto.Signer, change func(*scitt.Keys)) {
	old := r.keys
	r.keys, _ = old.Rotate(r.t, r.entries, r.last)
	change(r.keys.Announced)
	r.announce(r.keys.Announce(r.t, key, r.keys.Announced))
	r.handover(old, len(r.entries), nil)
}

// TestRotationRefused: keys that the log did not announce as it has to.
func TestRotationRefused(t *testing.T) {
	asIs := func(*scitt.Keys) {}
	rotate := func(r *rotating) { r.rotate() }
	type list = []scitt.ConfigurationKeys
	for name, c := range map[string]struct {
		change func(r *rotating)
		listed func(list) list // nil: as it is
		text   string          // "": it is accepted
	}{
		"all is well":                {rotate, nil, ""},
		"no statement":               {func(r *rotating) { r.keys = testlog.NewKeys(r.t) }, nil, "announces other keys"},
		"a stolen service key":       {func(r *rotating) { r.rotate(); r.keys.Handovers = nil }, nil, "not signed by the note key before it"},
		"a handover by the new key":  {func(r *rotating) { r.rotate(); r.handover(r.keys, 4, nil) }, nil, "not signed by the note key before it"},
		"a later handover":           {func(r *rotating) { old := r.keys; r.rotate(); r.handover(old, 4, nil) }, nil, ""},
		"a handover that is too old": {func(r *rotating) { old := r.keys; r.rotate(); r.handover(old, 2, nil) }, nil, "does not hold it"},
		"a handover of another tree": {func(r *rotating) { old := r.keys; r.rotate(); r.handover(old, 3, make([]byte, 32)) }, nil, "does not extend"},
		"as it has to be":            {func(r *rotating) { r.by(r.keys.Service, asIs) }, nil, ""},
		"by a stranger":              {func(r *rotating) { r.by(testlog.Key(r.t, "ES256"), asIs) }, nil, "no key with that identifier"},
		"by the receipt key":         {func(r *rotating) { r.by(r.keys.Receipt, asIs) }, nil, "no key with that identifier"},
		"another service key": {func(r *rotating) {
			r.by(r.keys.Service, func(k *scitt.Keys) { k.Service = testlog.KeySet(r.t, testlog.Key(r.t, "ES256")) })
		}, nil, "only a recovery key may sign"},
		"no recovery key": {func(r *rotating) { r.by(r.keys.Service, func(k *scitt.Keys) { k.Recovery = nil }) }, nil, "only a recovery key may sign"},
		"of another log": {func(r *rotating) {
			r.by(r.keys.Service, func(k *scitt.Keys) { k.Previous = testlog.ID(testlog.NewKeys(r.t).Begin(r.t, "{}")[0]) })
		}, nil, "it is a replay"},
		"replayed later":  {func(r *rotating) { first := r.last; r.rotate(); r.last = first; r.rotate() }, nil, "it is a replay"},
		"another history": {func(r *rotating) { r.entries[1] = r.entries[0]; r.rotate() }, nil, "does not extend"},
		"a smaller tree":  {func(r *rotating) { r.keys, _ = r.keys.Rotate(r.t, r.entries, r.last); r.entries = r.entries[:1] }, nil, "shows fewer entries"},

		"not where it is listed":      {rotate, func(l list) list { l[1].Index = 3; return l }, "entry 3 is "},
		"listed beyond the end":       {rotate, func(l list) list { l[1].Index = 4; return l }, "and the log has 4"},
		"the known one is not listed": {rotate, func(l list) list { return l[1:] }, "does not list the one"},
		"the known one is elsewhere":  {rotate, func(l list) list { l[0].Index = 1; return l }, "does not list the one"},
		"the new one is not listed":   {rotate, func(l list) list { return l[:1] }, "announces other keys"},
		"nothing is listed":           {rotate, func(list) list { return nil }, "showed others on"},
		"another order":               {rotate, func(l list) list { return append(l, l[0]) }, "not in the order"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t)
			r.opens(2)
			before := testlog.Must(r.o.Home.Known(testlog.Origin))(t)
			keys, entries := r.keys, slices.Clone(r.entries)
			c.change(r)
			r.show()
			if c.listed != nil {
				r.configure(func(shown *scitt.Configuration) { shown.Keys = c.listed(shown.Keys) })
			}
			if c.text == "" {
				r.opens(uint64(len(r.entries)))
				return
			}
			kind := party.ErrKeysChanged
			if name == "a smaller tree" { // which may only be old
				kind = tiles.ErrBehind
			}
			r.refuses(kind, c.text)
			after := testlog.Must(r.o.Home.Known(testlog.Origin))(t)
			if after.Checkpoint != before.Checkpoint || !slices.Equal(after.VKeys, before.VKeys) || *after.Keys != *before.Keys {
				t.Errorf("remembered %+v", after)
			}
			// The log as it was is still good.
			r.files.Clear()
			r.keys, r.entries = keys, entries
			r.show()
			r.opens(2)
		})
	}
}

// TestEarlierVersion: a log of a version before the first release is refused in
// one sentence that says why, also by who examines logs.
func TestEarlierVersion(t *testing.T) {
	r := newRotating(t)
	keys := testlog.Must(r.keys.Announced.Receipt.Marshal())(t)
	r.entries[0] = testlog.Must(scitt.SignStatement(r.keys.Receipt, scitt.SignOptions{
		Issuer: testlog.Issuer, Type: scitt.TypeKeys, Subject: scitt.KeysSubject(testlog.Origin), ContentType: "application/cose-key-set",
	}, keys))(t)
	for _, examine := range []bool{false, true} {
		r.o.Examine = examine
		r.show()
		r.configure(func(c *scitt.Configuration) { c.Keys = nil })
		for _, given := range [][]string{nil, r.keys.VKeys} {
			r.o.VKeys = given
			r.refuses(scitt.ErrEarlier, "the log was made by an earlier version, whose receipt key signs everything and whose entry ids depend on signatures, so this version cannot read it")
		}
	}
}

// TestAmong: of logs that are read together no two have one origin and different
// keys, whatever is remembered; a log at two places is one, and so is one that
// announces new keys.
func TestAmong(t *testing.T) {
	r := newRotating(t)
	r.o.Among = &party.Among{}
	r.opens(2)
	r.opens(2)
	r.rotate()
	r.show()
	r.opens(4)
	r.o.Home = ""
	r.opens(4)
	r.keys = testlog.NewKeys(t)
	r.entries = r.keys.Begin(t, "{}")
	r.show()
	r.refuses(party.ErrKeysChanged, "both call themselves")
	r.o.VKeys = r.keys.VKeys // given, which does not make both of them true
	r.refuses(party.ErrKeysChanged, "both call themselves")
	r.o.VKeys, r.o.Among = nil, nil
	r.opens(2)
}
