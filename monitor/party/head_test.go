package party

import (
	"errors"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestHead: the newest record of an issuer, and the head of a chain, are told with their proof.
func TestHead(t *testing.T) {
	chain, head := chainOf(t, 3)
	key := testlog.FixedKey(t, "a")
	issuer := testlog.DIDJWK(t, key)
	sign := func(typ, subject string) []byte {
		return testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Type: typ, Subject: subject}, []byte(subject)))(t)
	}
	entries := append(chain, sign(scitt.TypeObservation, "observed"), sign(scitt.TypeMeasurement, "measured"))
	keys, files := testlog.NewKeys(t), &testlog.Files{}
	files.Publish(t, keys, entries)
	server := httptest.NewServer(files)
	defer server.Close()
	l := testlog.Must(Open(t.Context(), server.URL, Options{VKeys: keys.VKeys}))(t)
	h, unread, err := l.Head(t.Context(), issuer, "", nil)
	if err != nil || unread.Any() || h.Index != 3 || h.Subject != "observed" || h.Chain != nil || h.Size != 5 || h.Origin != l.Origin() || h.Issuer != issuer {
		t.Errorf("the newest: %+v, %v", h, err)
	}
	h, _, err = l.Head(t.Context(), issuer, "inventory", nil)
	if err != nil || h.Index != 2 || h.EntryID != head.ID.String() || h.Chain == nil || *h.Chain != (ChainHead{"inventory", 2, testlog.ID(chain[1]).String()}) {
		t.Fatalf("of the chain: %+v, %v", h, err)
	}
	st := testlog.Must(scitt.DecodeStatement(h.Transparent))(t)
	v := testlog.Must(l.verifier(t.Context(), issuer, l.View.Checkpoint.Tree.IssuedTime()))(t)
	if out, err := v.Verify(h.Transparent); err != nil || out.Err() != nil || string(st.Receipts[0]) != string(h.Receipt) {
		t.Errorf("its Transparent Statement: %v, %v", out, err)
	}
	for _, c := range [][2]string{{"https://nobody.example", ""}, {issuer, "configuration"}} {
		if _, _, err := l.Head(t.Context(), c[0], c[1], nil); !errors.Is(err, ErrNoEntry) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

// TestHasAsset: an asset is known while it is alive, and what cannot be read makes nobody sure.
func TestHasAsset(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	a.register(a.registrar(s), "registered registered registered", assetRecord(t, "create", holdNoon, "a", ""), assetRecord(t, "create", holdNoon, "b", ""), assetRecord(t, "delete", holdNoon+1, "b", ""))
	has := func(want bool, uid string, sure bool) {
		t.Helper()
		l := testlog.Must(Open(t.Context(), s.direct, Options{}))(t)
		if got, isSure, err := l.HasAsset(t.Context(), uid); err != nil || got != want || isSure != sure {
			t.Errorf("%s: %t, sure %t, %v", uid, got, isSure, err)
		}
	}
	has(true, "a", true)
	has(false, "b", true)
	has(false, "c", true)
	withheld := assetRecord(t, "create", holdNoon+2, "d", "")
	withheld.Options.Hash = true // and nobody stores it
	a.register(a.registrar(s), "registered", withheld)
	has(true, "a", false)
	has(false, "d", false)
}

func TestSamePlace(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"log", "log", true}, {"log", "./log/", true}, {filepath.Join(dir, "log"), "log", true}, {"log", "log2", false},
		{"https://a.example", "https://a.example/", true}, {"https://a.example", "https://b.example", false}, {"https://a.example", "log", false},
	} {
		if got := SamePlace(c.a, c.b); got != c.same {
			t.Errorf("%s and %s: %t", c.a, c.b, got)
		}
	}
}
