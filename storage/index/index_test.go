package index_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/tiles"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// memory is a log in memory, as the index reads it.
type memory struct {
	mu      sync.Mutex
	entries [][]byte
	fail    error
}

func (m *memory) add(entries ...[]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, entries...)
}

func (m *memory) IntegratedSize(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.entries)), m.fail
}

func (m *memory) NextIndex(ctx context.Context) (uint64, error) { return m.IntegratedSize(ctx) }

func (m *memory) ReadCheckpoint(context.Context) ([]byte, error) { return nil, os.ErrNotExist }

func (m *memory) ReadTile(context.Context, uint64, uint64, uint8) ([]byte, error) {
	return nil, os.ErrNotExist
}

func (m *memory) ReadEntryBundle(_ context.Context, n uint64, p uint8) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	width := uint64(p)
	if p == 0 {
		width = tiles.Width
	}
	var b []byte
	for _, e := range m.entries[n*tiles.Width : n*tiles.Width+width] {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e...)
	}
	return b, m.fail
}

func open(t testing.TB, path string) *index.Index {
	t.Helper()
	x, err := index.Open(t.Context(), path, verify, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Whatever a test stored, the digest is that of the rows.
		if rows, kept, err := x.Digests(context.Background()); err == nil && rows != kept {
			t.Errorf("the digest of the rows is %x, and %x was kept", rows, kept)
		}
		_ = x.Close() // most tests close it themselves
	})
	return x
}

// verify knows the keys of issuers that are a did:jwk.
func verify(entry []byte) error {
	v, err := (&scitt.Verifier{}).Verify(entry)
	if err != nil {
		return err
	}
	return v.SignatureErr
}

// entry has the form of an Entry and nothing else of one. The content is
// padded to more than 255 bytes.
func entry(content, signature string) []byte {
	payload := content + strings.Repeat(" ", 1000-len(content))
	b := append([]byte{0xd2, 0x84, 0x41, 0x00, 0xa0, 0x59, byte(len(payload) >> 8), byte(len(payload))}, payload...)
	return append(append(b, 0x40|byte(len(signature))), signature...)
}

func idOf(t testing.TB, entry []byte) scitt.EntryID {
	t.Helper()
	id, ok := scitt.EntryIDOf(entry)
	if !ok {
		t.Fatalf("%x is not an Entry", entry)
	}
	return id
}

func numbered(from, to int) [][]byte {
	var entries [][]byte
	for i := from; i < to; i++ {
		entries = append(entries, entry(fmt.Sprint("entry ", i), "s"))
	}
	return entries
}

// holds reports whether the index knows exactly these entries at their places.
func holds(t *testing.T, x *index.Index, m *memory) {
	t.Helper()
	if got := x.Next(); got != uint64(len(m.entries)) {
		t.Fatalf("the index has read %d of %d entries", got, len(m.entries))
	}
	first := map[string]int{}
	for i, e := range m.entries {
		if _, ok := first[string(e)]; !ok {
			first[string(e)] = i
		}
	}
	for e, i := range first {
		place, ok, err := x.Lookup(t.Context(), idOf(t, []byte(e)))
		if err != nil || !ok || place.Index != uint64(i) || !place.Matches(scitt.LeafHash([]byte(e))) {
			t.Fatalf("entry %d: %+v %v %v", i, place, ok, err)
		}
	}
	if _, ok, err := x.Lookup(t.Context(), idOf(t, entry("another", "s"))); ok || err != nil {
		t.Errorf("an entry that is not in the log: %v %v", ok, err)
	}
}

func TestCatchUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x, m := open(t, path), &memory{}
	// Sizes at, before and after the edges of bundles and of transactions.
	for _, size := range []int{0, 1, 255, 256, 257, 511, 512, 4096, 5000} {
		m.add(numbered(len(m.entries), size)...)
		if err := x.CatchUp(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		holds(t, x, m)
	}
	m.add(m.entries[3]) // twice in the log: the first place counts
	if err := x.CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	holds(t, x, m)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	holds(t, again, m)

	m.fail = errors.New("disk on fire")
	if err := again.CatchUp(t.Context(), m); !errors.Is(err, m.fail) {
		t.Errorf("a log that cannot be read: %v", err)
	}
}

// TestFollow: the follower serves its own log, whatever the file held before.
func TestFollow(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string, m *memory){
		"as it was": func(*testing.T, string, *memory) {},
		"deleted": func(t *testing.T, path string, _ *memory) {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + suffix)
			}
		},
		"no database": func(t *testing.T, path string, _ *memory) {
			if err := os.WriteFile(path, []byte("this is no database, and long enough to be taken for one"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"of another log": func(t *testing.T, _ string, m *memory) {
			for i := range m.entries {
				m.entries[i] = entry(fmt.Sprint("other ", i), "s")
			}
		},
		"ahead of the log": func(t *testing.T, _ string, m *memory) { m.entries = m.entries[:100] },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index.db")
			m := &memory{entries: numbered(0, 600)}
			x := open(t, path)
			if err := x.CatchUp(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, path, m)

			x = open(t, path)
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			group.Go(func() { x.Follower(nil).Follow(ctx, m) })
			if err := x.Await(t.Context(), uint64(len(m.entries))); err != nil {
				t.Fatal(err)
			}
			holds(t, x, m)
			m.add(numbered(1000, 1300)...)
			if err := x.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			holds(t, x, m)
			cancel()
			group.Wait()
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestSpecial: policies and the heads of chains are found again.
func TestSpecial(t *testing.T) {
	key, other := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	sign := func(o scitt.SignOptions) *scitt.Statement {
		t.Helper()
		o.Subject = "asset"
		return testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(key, o, []byte("{}")))(t)))(t)
	}
	link := func(name string, seq uint64) *scitt.Statement {
		prev := make([]byte, 32)
		if seq == 0 {
			prev = nil
		}
		return sign(scitt.SignOptions{Chain: &scitt.ChainLink{Name: name, Seq: seq, Prev: prev}})
	}
	a0, a1, b0 := link("a", 0), link("a", 1), link("b", 0)
	m := &memory{entries: [][]byte{
		[]byte("not a statement, but \x65chain"), sign(scitt.SignOptions{Type: scitt.TypePolicy}).Entry(), a0.Entry(), b0.Entry(), a1.Entry(),
		sign(scitt.SignOptions{Type: scitt.TypePolicy, Issuer: "https://issuer.example"}).Entry(), sign(scitt.SignOptions{}).Entry(),
	}}
	x := open(t, filepath.Join(t.TempDir(), "index.db"))
	if err := x.CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if policies := testlog.Must(x.Policies(t.Context()))(t); len(policies) != 2 || policies[0] != 1 || policies[1] != 5 {
		t.Errorf("policies at %v", policies)
	}
	head := func(issuer, name string) (scitt.Head, bool) {
		t.Helper()
		h, ok, err := x.ChainHead(t.Context(), issuer, name)
		if err != nil {
			t.Fatal(err)
		}
		return h, ok
	}
	if h, ok := head(a1.Issuer, "a"); !ok || h != (scitt.Head{Index: 4, ID: a1.ID(), Seq: 1}) {
		t.Errorf("head of a: %+v %v", h, ok)
	}
	if h, ok := head(a1.Issuer, "b"); !ok || h.ID != b0.ID() {
		t.Errorf("head of b: %+v %v", h, ok)
	}
	if _, ok := head(a1.Issuer, "c"); ok {
		t.Error("a chain that there is not has a head")
	}
	if _, ok := head(testlog.Must(did.NewJWK(other.Public()))(t), "a"); ok {
		t.Error("another issuer has this chain")
	}
	// Known as soon as it is sequenced, and still when it was read back.
	a2 := link("a", 2)
	x.Extend(a2, 7)
	if h, _ := head(a1.Issuer, "a"); h.ID != a2.ID() || h.Index != 7 {
		t.Errorf("head of a, just sequenced: %+v", h)
	}
	m.add(a2.Entry())
	if err := x.CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if h, _ := head(a1.Issuer, "a"); h.ID != a2.ID() || h.Index != 7 {
		t.Errorf("head of a, read back: %+v", h)
	}
	// However long the length of the label is: CBOR has five ways to write it.
	c := link("c", 0)
	for n, length := range []string{"\x65", "\x78\x05", "\x79\x00\x05", "\x7a\x00\x00\x00\x05", "\x7b\x00\x00\x00\x00\x00\x00\x00\x05"} {
		entry := relabelled(t, c.Entry(), length)
		m.add(entry)
		if err := x.CatchUp(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if h, _ := head(c.Issuer, "c"); h.ID != idOf(t, entry) {
			t.Errorf("head of c, with a label of length % x: %+v, want entry %d", length, h, 8+n)
		}
	}
	// Read back before it is said to be sequenced: the one before it is not the head any more.
	a3, a4 := link("a", 3), link("a", 4)
	size := uint64(len(m.entries))
	m.add(a3.Entry(), a4.Entry())
	x.Extend(a3, size)
	var between scitt.Head
	x.BeforeStored(func() {
		x.Extend(a4, size+1)
		between, _ = head(a1.Issuer, "a")
	})
	if err := x.CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if after, _ := head(a1.Issuer, "a"); between != (scitt.Head{Index: size + 1, ID: a4.ID(), Seq: 4}) || after != between {
		t.Errorf("head of a: %+v, and then %+v", between, after)
	}
	a2 = a4
	x.Extend(a1, 4) // an old one does not come back
	if h, _ := head(a1.Issuer, "a"); h.ID != a2.ID() {
		t.Errorf("head of a after an old one: %+v", h)
	}
	// A handover ends the chain, before and after it is read back.
	given := testlog.Must(scitt.ParseStatement(testlog.Handover(t, key, testlog.NewHandover(t, "a", key, other), a2.Entry())))(t)
	at := uint64(len(m.entries))
	x.Extend(given, at)
	m.add(given.Entry())
	for range 2 {
		if h, _ := head(a1.Issuer, "a"); h != (scitt.Head{Index: at, ID: given.ID(), Seq: a2.Chain.Seq + 1, Given: string(given.Payload)}) {
			t.Errorf("head of a that was handed over: %+v", h)
		}
		if err := x.CatchUp(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// relabelled writes the length of the label "chain" as given. The signature
// does not fit any more, which the index does not ask for.
func relabelled(t *testing.T, entry []byte, length string) []byte {
	t.Helper()
	var parts []any
	if err := cbor.Unmarshal(entry[1:], &parts); err != nil {
		t.Fatal(err)
	}
	parts[0] = bytes.Replace(parts[0].([]byte), []byte("\x65chain"), []byte(length+"chain"), 1)
	entry = append([]byte{0xd2}, testlog.Must(cbor.Marshal(parts))(t)...)
	st := testlog.Must(scitt.ParseStatement(entry))(t)
	if st.Chain == nil {
		t.Fatalf("% x%s is not read as the label of a chain", length, "chain")
	}
	return st.Entry()
}

func BenchmarkCatchUp(b *testing.B) {
	const size = 50_000
	m := &memory{entries: numbered(0, size)}
	for b.Loop() {
		x := open(b, filepath.Join(b.TempDir(), "index.db"))
		if err := x.CatchUp(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkLookup(b *testing.B) {
	m := &memory{entries: numbered(0, 100_000)}
	x := open(b, filepath.Join(b.TempDir(), "index.db"))
	if err := x.CatchUp(b.Context(), m); err != nil {
		b.Fatal(err)
	}
	for name, prefix := range map[string]string{"known": "entry ", "new": "new "} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				id := idOf(b, entry(fmt.Sprint(prefix, i%100_000), "s"))
				if _, ok, err := x.Lookup(b.Context(), id); err != nil || ok != (name == "known") {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
