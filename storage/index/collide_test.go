package index_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/index"
)

// signed is a statement, another valid signature of it, and an invalid one.
type signed struct {
	*scitt.Statement
	first, twin, garbage []byte
}

func newSigned(t *testing.T, alg string, o scitt.SignOptions) signed {
	t.Helper()
	key := testlog.Key(t, alg)
	o.Subject = "asset"
	s := testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(key, o, []byte("{}")))(t)))(t)
	garbage := append([]byte{}, s.Entry()...)
	garbage[len(garbage)-1] ^= 1
	return signed{s, s.Entry(), testlog.Must(vectors.Twin(key, s.Entry()))(t), garbage}
}

// TestCollision: of several entries with one id the first whose signature
// verifies has it, however they lie in bundles and transactions.
func TestCollision(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		s := newSigned(t, alg, scitt.SignOptions{})
		unknown := newSigned(t, alg, scitt.SignOptions{Issuer: "https://issuer.example"})
		for name, c := range map[string]struct {
			entries [][]byte
			want    int
		}{
			"valid, valid":                    {[][]byte{s.first, s.twin}, 0},
			"twin first":                      {[][]byte{s.twin, s.first}, 0},
			"the same twice":                  {[][]byte{s.first, s.first}, 0},
			"invalid, valid":                  {[][]byte{s.garbage, s.first}, 1},
			"invalid, valid, valid":           {[][]byte{s.garbage, s.twin, s.first}, 1},
			"invalid, invalid, valid":         {[][]byte{s.garbage, append(append([]byte{}, s.garbage[:len(s.garbage)-2]...), 0, 0), s.first}, 2},
			"invalid twice, then valid":       {[][]byte{s.garbage, s.garbage, s.first}, 2},
			"valid, invalid":                  {[][]byte{s.first, s.garbage}, 0},
			"invalid alone":                   {[][]byte{s.garbage}, 0}, // nobody looked
			"key not known":                   {[][]byte{unknown.garbage, unknown.first}, 0},
			"bytes that are not an Entry too": {[][]byte{[]byte("x"), s.first, []byte("x")}, 1},
		} {
			for _, gap := range []int{0, 1, 255, 4096} {
				if gap > 1 && alg != "ES256" {
					continue
				}
				t.Run(fmt.Sprint(alg, " ", name, " ", gap), func(t *testing.T) {
					m := &memory{}
					for i, e := range c.entries {
						m.add(e)
						m.add(numbered(i*gap, (i+1)*gap)...)
					}
					want := c.want * (gap + 1)
					looked := s.Statement
					if strings.HasPrefix(name, "key") {
						looked = unknown.Statement
					}
					for _, whole := range []bool{true, false} { // in one go, or entry by entry
						if !whole && gap > 1 {
							continue
						}
						x, part := open(t, filepath.Join(t.TempDir(), "index.db")), &memory{}
						for i := range m.entries {
							if part.add(m.entries[i]); whole && i < len(m.entries)-1 {
								continue
							}
							if err := x.CatchUp(t.Context(), part); err != nil {
								t.Fatal(err)
							}
						}
						place, ok, err := x.Lookup(t.Context(), looked.ID())
						if err != nil || !ok || place.Index != uint64(want) || !place.Matches(scitt.LeafHash(m.entries[want])) {
							t.Errorf("at %d (%v, %v), want %d", place.Index, ok, err, want)
						}
						if _, ok, err := x.Lookup(t.Context(), scitt.EntryID{}); ok || err != nil {
							t.Errorf("what is not an Entry has an id: %v", err)
						}
					}
				})
			}
		}
	}
}

// TestVerifiedOnCollision: catching up verifies nothing but what collides.
func TestVerifiedOnCollision(t *testing.T) {
	s := newSigned(t, "ES256", scitt.SignOptions{})
	verified := 0
	x, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"), func(e []byte) error { verified++; return verify(e) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	m := &memory{entries: append(numbered(0, 1000), s.first, s.first)}
	if err := x.CatchUp(t.Context(), m); err != nil || verified != 0 {
		t.Fatalf("verified %d without a collision: %v", verified, err)
	}
	m.add(s.twin)
	if err := x.CatchUp(t.Context(), m); err != nil || verified != 2 {
		t.Fatalf("verified %d of the two that collide: %v", verified, err)
	}
}

// TestCollisionSpecial: what has no id, or comes again, is no head of a chain
// and no policy.
func TestCollisionSpecial(t *testing.T) {
	key := testlog.Key(t, "ES256")
	link := func(o scitt.SignOptions) *scitt.Statement {
		o.Subject = "asset"
		return testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(key, o, []byte("{}")))(t)))(t)
	}
	first := link(scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c"}})
	prev := first.ID()
	second := link(scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c", Seq: 1, Prev: prev[:]}})
	policy := link(scitt.SignOptions{Type: scitt.TypePolicy})
	twin := func(s *scitt.Statement) []byte { return testlog.Must(vectors.Twin(key, s.Entry()))(t) }
	m := &memory{entries: [][]byte{first.Entry(), policy.Entry(), second.Entry(), twin(first), twin(policy), first.Entry()}}
	x := open(t, filepath.Join(t.TempDir(), "index.db"))
	if err := x.CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if h, ok, err := x.ChainHead(t.Context(), first.Issuer, "c"); err != nil || !ok || h.ID != second.ID() || h.Index != 2 {
		t.Errorf("head %+v, %v, %v", h, ok, err)
	}
	if places, err := x.Policies(t.Context()); err != nil || len(places) != 1 || places[0] != 1 {
		t.Errorf("policies at %v, %v", places, err)
	}
}

// TestDecorator: the same bytes are a duplicate, another signature of the
// content is a conflict, and what is not an Entry is neither.
func TestDecorator(t *testing.T) {
	s := newSigned(t, "ES256", scitt.SignOptions{})
	x := open(t, filepath.Join(t.TempDir(), "index.db"))
	added := uint64(0)
	add := x.Decorator()(func(context.Context, *tessera.Entry) tessera.IndexFuture {
		n := added
		added++
		return func() (tessera.Index, error) { return tessera.Index{Index: n}, nil }
	})
	for i, c := range []struct {
		data  []byte
		index uint64
		dup   bool
		err   error
	}{
		{s.first, 0, false, nil}, {s.first, 0, true, nil}, {s.twin, 0, false, scitt.ErrRegistered}, {s.garbage, 0, false, scitt.ErrRegistered},
		{[]byte("x"), 1, false, nil}, {[]byte("x"), 2, false, nil}, {s.first, 0, true, nil},
	} {
		got, err := add(t.Context(), tessera.NewEntry(c.data))()
		if got.Index != c.index || got.IsDup != c.dup || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
}

// TestOtherVersion: an index of another version is made anew, with the reason.
func TestOtherVersion(t *testing.T) {
	for version, why := range map[int]string{5: "older version (5, and this is 6)", 7: "newer version (7, and this is 6)"} {
		path := filepath.Join(t.TempDir(), "index.db")
		m := &memory{entries: numbered(0, 10)}
		x := open(t, path)
		if err := errors.Join(x.CatchUp(t.Context(), m), x.Close()); err != nil {
			t.Fatal(err)
		}
		db := testlog.Must(sql.Open("sqlite", path))(t)
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		x, err := index.Open(t.Context(), path, verify, slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), why) || x.Next() != 0 {
			t.Errorf("it says %s, and has read %d", said.String(), x.Next())
		}
		if _, _, err := x.Lookup(t.Context(), idOf(t, m.entries[3])); !errors.Is(err, scitt.ErrUnavailable) {
			t.Errorf("before it is complete: %v", err)
		}
		if err := x.CatchUp(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		holds(t, x, m)
		said.Reset()
		_ = x.Close()
		if x, err = index.Open(t.Context(), path, verify, slog.New(slog.NewTextHandler(&said, nil))); err != nil || said.Len() > 0 {
			t.Errorf("opened again: %v, %s", err, said.String())
		}
		_ = x.Close()
	}
}
