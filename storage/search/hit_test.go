package search

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestHits is what answers show.
func TestHits(t *testing.T) {
	l, store := sample(t)
	x := indexed(t, l, Options{Artifacts: store, Service: "https://service.example"})
	a := ask(t, x, "")
	if a.Checkpoint.Origin != testlog.Origin || a.Checkpoint.Size != 17 || !bytes.Equal(a.Checkpoint.Root, l.checkpoint(17).Root) || a.Indexed != 17 || a.Next != "" {
		t.Errorf("checkpoint %+v, indexed %d, next %q", a.Checkpoint, a.Indexed, a.Next)
	}
	wantContent := []contentState{contentOther, contentJSON, contentJSON, contentJSON, contentCBOR, contentJSON, contentJSON, contentMissing, contentTooLarge,
		contentJSON, contentJSON, contentText, contentOther, contentMalformed, contentForeign, contentJSON, contentJSON}
	for i, h := range a.Entries {
		id, receipt := idOf(l[i]).String(), idOf(l[i]).String()
		if i == 14 { // no statement, so it has no id
			id, receipt = "", "14"
		}
		if h.Entry != id || h.Content != wantContent[i] || h.Receipt != "https://service.example/entries/"+receipt {
			t.Errorf("entry %d: %+v", i, h)
		}
	}
	h := a.Entries[2]
	if h.Issuer != "https://b.example" || h.Subject != "one" || *h.ClassUID != 5023 || *h.ActivityID != 1 || *h.Time != 1000 || h.EventCode != "inventory.create" ||
		h.Policy != idOf(l[1]).String() || h.KeyID != hex.EncodeToString([]byte("https://b.example")) || h.ContentType != "application/json" || h.Chain != nil {
		t.Errorf("%+v", h)
	}
	if h := a.Entries[10]; *h.Chain != (chain{"inventory", 7}) || h.Policy != idOf(l[5]).String() {
		t.Errorf("%+v", h)
	}
	if h := a.Entries[3]; h.Time != nil { // 3000.5 is no time of OCSF
		t.Errorf("%+v", h)
	}
}

// TestPayloadBounds: content that is deep, large or damaged is no reason to stop.
func TestPayloadBounds(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":[`, n) + `"x"` + strings.Repeat(`]}`, n) }
	store := artifacts{}
	huge := []byte(`{"list":["` + strings.Repeat(`word","`, 140_000) + `last"]}`)
	damaged := store.put([]byte(`{"a":1}`))
	store[[32]byte(damaged)] = []byte(`{"a":2}`)
	envelope := func(digest []byte) []byte {
		return statement(t, header("i", "s", map[any]any{258: -16, 259: "application/json"}), digest)
	}
	l := memLog{
		jsonStatement(t, "i", "s", deep(32)),
		jsonStatement(t, "i", "s", deep(33)),
		jsonStatement(t, "i", "s", strings.Repeat("[", 30_000)),
		statement(t, header("i", "s", map[any]any{3: "application/cbor"}), bytes.Repeat([]byte{0x81}, 30_000)),
		statement(t, header("i", "s", map[any]any{3: "application/cbor"}), []byte{0xa2, 1, 1, 1, 2}), // a key twice
		envelope(store.put(huge)),
		envelope(damaged),
		jsonStatement(t, "i", "s", `{"long":"`+strings.Repeat("ab ", 20_000)+`"}`),
		statement(t, header("i", "s", nil), []byte(` {"sniffed":true}`)),
		statement(t, header("i", "s", map[any]any{3: "text/plain"}), []byte("bad \xff")),
		jsonStatement(t, "i", "s", "{\"a\":\"\xff\"}"),
		jsonStatement(t, "i", "s", `"just text"`),
		jsonStatement(t, "i", "s", `{"`+strings.Repeat("n", maxPath)+`":"longest"}`),
		jsonStatement(t, "i", "s", `{"`+strings.Repeat("n", maxPath+1)+`":["longer",1,true]}`),
	}
	x := indexed(t, l, Options{Artifacts: store})
	want := []contentState{contentJSON, contentMalformed, contentMalformed, contentMalformed, contentMalformed, contentJSON, contentMissing, contentJSON, contentJSON, contentMalformed, contentMalformed, contentJSON, contentJSON, contentJSON}
	for i, h := range ask(t, x, "").Entries {
		if h.Content != want[i] {
			t.Errorf("entry %d: %q, want %q", i, h.Content, want[i])
		}
	}
	expect(t, x, "f."+strings.TrimSuffix(strings.Repeat("a.", 32), ".")+"=x", 0)
	expect(t, x, "f.list=last", 5)
	expect(t, x, "f.a=2")
	expect(t, x, "q=ab", 7)
	expect(t, x, "f.sniffed=true", 8)
	expect(t, x, "q=just", 11)
	expect(t, x, "f."+strings.Repeat("n", maxPath)+"=longest", 12)
	expect(t, x, "q=longer", 13)
}

// pathBytes counts the bytes of the paths that are given out.
type pathBytes int

func (n *pathBytes) term(_ kind, path, _ string)           { *n += pathBytes(len(path)) }
func (n *pathBytes) number(_ kind, path string, _ float64) { *n += pathBytes(len(path)) }

// TestLongNames: a name as long as all values below it costs what other names cost.
func TestLongNames(t *testing.T) {
	values := strings.Repeat(`"x",1,true,`, 1000) + "null"
	for name, entry := range map[string][]byte{
		"json": jsonStatement(t, "i", "s", `{"`+strings.Repeat("n", 20_000)+`":[`+values+`]}`),
		"cbor": statement(t, header("i", "s", map[any]any{3: "application/cbor"}), testlog.Must(cbor.Marshal(map[string]any{strings.Repeat("n", 20_000): make([]int, 10_000)}))(t)),
	} {
		var n pathBytes
		if d, err := read(t.Context(), 0, entry, nil, &n); err != nil || string(d.Content) != name || n > 1<<20 {
			t.Errorf("%s: %d bytes of paths, %v", name, n, err)
		}
	}
}

// TestStats counts.
func TestStats(t *testing.T) {
	l, store := sample(t)
	x := openIndex(t, "", Options{Artifacts: store})
	catchUp(t, x, l, len(l))
	s, err := x.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Issuers); !strings.HasPrefix(got, "[{https://d.example 5} {https://c.example 4} {https://a.example 3}") {
		t.Errorf("issuers %s", got)
	}
	if got := fmt.Sprint(s.Classes); got != "[{5023 2} {5001 1} {5019 1}]" {
		t.Errorf("classes %s", got)
	}
	if got := fmt.Sprint(s.EventCodes); got != "[{configuration.modify 1} {inventory.create 1}]" {
		t.Errorf("event codes %s", got)
	}
	day := time.UnixMilli(1_700_000_000_000).UTC().Format(time.DateOnly)
	if got := fmt.Sprint(s.Days); got != "[{ 13} {1969-12-31 1} {1970-01-01 2} {"+day+" 1}]" {
		t.Errorf("days %s", got)
	}
	if s.Checkpoint.Size != 17 || s.Indexed != 17 {
		t.Errorf("%+v", s.Checkpoint)
	}
}
