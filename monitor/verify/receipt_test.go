package verify_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestWanted: a Receipt from files, and the one of a service, are for the statement that is
// wanted and verified, and what cannot be verified is said to be not.
func TestWanted(t *testing.T) {
	keys, files, st := testlog.NewKeys(t), &testlog.Files{}, statement(t, "s")
	entries := append(keys.Begin(t, `{"version": 1}`), st.Entry(), statement(t, "other").Entry())
	files.Publish(t, keys, entries)
	log := open(t, files, party.Options{VKeys: keys.VKeys}).Files
	var given []byte // by the service, for every id
	files.Serve(func(w http.ResponseWriter, r *http.Request) bool {
		if path.Dir(r.URL.Path) != "/entries" && path.Dir(path.Dir(r.URL.Path)) != "/entries" {
			return false
		}
		_, _ = w.Write(given)
		return true
	})
	service := httptest.NewServer(files)
	defer service.Close()
	o := party.Options{VKeys: keys.VKeys}

	fromFiles := testlog.Must((verify.Wanted{Statement: st}).FromFiles(t.Context(), log, nil))(t)
	byIndex := testlog.Must((verify.Wanted{Index: 2, Transparent: true}).FromFiles(t.Context(), log, nil))(t)
	if index, _, ok := fromFiles.Receipt.Place(); !ok || index != 2 || fromFiles.Unverified != nil || byIndex.Statement.ID() != st.ID() {
		t.Errorf("%+v, %+v", fromFiles, byIndex)
	}
	if proof, err := (verify.Wanted{Statement: st}).TLogProof(t.Context(), log, nil); err != nil || !verify.IsProof(proof) {
		t.Errorf("%q, %v", proof, err)
	}
	for _, w := range []verify.Wanted{{Index: 9}, {Statement: statement(t, "never")}} {
		if _, err := w.FromFiles(t.Context(), log, nil); !errors.Is(err, party.ErrNoEntry) {
			t.Error(err)
		}
	}
	id := st.ID().String()
	for name, c := range map[string]struct {
		wanted verify.Wanted
		given  []byte
		want   string // of the error; "" for none
	}{
		"by index":          {verify.Wanted{ID: "2"}, fromFiles.Data, ""},
		"by id":             {verify.Wanted{ID: id}, fromFiles.Data, ""},
		"by statement":      {verify.Wanted{Statement: st}, fromFiles.Data, ""},
		"transparent":       {verify.Wanted{ID: id, Transparent: true}, byIndex.Data, ""},
		"of another entry":  {verify.Wanted{ID: "3"}, fromFiles.Data, "asked for 3"},
		"for another":       {verify.Wanted{Statement: statement(t, "other")}, fromFiles.Data, "is not good"},
		"no receipt":        {verify.Wanted{ID: id, Transparent: true}, st.Entry(), "carries no receipt"},
		"not a receipt":     {verify.Wanted{ID: id}, []byte("x"), "malformed"},
		"of another's keys": {verify.Wanted{Statement: st}, receipt(t, testlog.NewKeys(t), st), "is not good"},
	} {
		given = c.given
		got, err := c.wanted.FromService(t.Context(), service.URL, o)
		if (err == nil) != (c.want == "") || err != nil && (!party.Refutes(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (got.Unverified != nil || got.Statement.ID() != st.ID()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Without the log's files there is nothing to verify a Receipt by index for.
	given = fromFiles.Data
	keySet := testlog.Must(files.Get(t.Context(), tiles.KeysPath))(t)
	files.Clear()
	files.Put(tiles.KeysPath, keySet)
	if got, err := (verify.Wanted{ID: "2"}).FromService(t.Context(), service.URL, party.Options{}); err != nil || got.Unverified == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := (verify.Wanted{Statement: st}).FromService(t.Context(), service.URL, party.Options{}); err != nil || got.Unverified != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAccuser: two checkpoints that cannot both be true prove it with the log's key, and
// with the one that the proof names, with a notice; not with another's.
func TestAccuser(t *testing.T) {
	keys := testlog.NewKeys(t)
	checkpoint := func(root byte) *scitt.Checkpoint {
		raw := keys.Checkpoint(t, 5, append(make([]byte, 31), root))
		return testlog.Must(keys.Verifiers.Open(raw))(t)
	}
	e := tiles.Contradict(checkpoint(1), checkpoint(2))
	e.VKey = keys.VKeys[0]
	proof := testlog.Must(e.Marshal())(t)
	for name, c := range map[string]struct {
		vkeys         []string
		data          []byte
		proven, given bool
		told          int
	}{
		"its own key": {nil, proof, true, false, 1},
		"the log's":   {keys.VKeys, append(proof, '\n'), true, true, 0},
		"another's":   {testlog.NewKeys(t).VKeys, proof, false, true, 0},
		"not a proof": {keys.VKeys, []byte("{}"), false, false, 0},
	} {
		told := 0
		a := &verify.Accuser{Options: party.Options{VKeys: c.vkeys, Notice: func(string, ...any) { told++ }}}
		r, err := a.Equivocation(t.Context(), c.data)
		if err != nil || r.Proven != c.proven || (r.Wrong == nil) != c.proven || r.Given != c.given || told != c.told {
			t.Errorf("%s: %+v, %v, told %d times", name, r, err, told)
		}
		if r, err := a.Evidence(t.Context(), c.data); err != nil || r.Proven || r.Wrong == nil {
			t.Errorf("%s, as evidence: %+v, %v", name, r, err)
		}
	}
}
