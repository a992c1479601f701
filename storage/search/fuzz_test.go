package search

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// FuzzQuery: a query is refused with the parameter's name, or it can be asked.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"iss=a&sub=b", "f.a.b=>=3&f.a.b=<5", "from=2025-01-01T00:00:00Z&to=5", "q=ärger%20x&order=time-desc&after=none.5",
		"chain=a:5&kid=aa", "f.x==", "f.x=9007199254740993", "index_from=5&index_to=9&limit=1000", "after=-5.7&order=time-asc", "f.=1", "%ff=1"} {
		f.Add(s)
	}
	x := indexed(f, eventLog(f, 0, 50), Options{})
	f.Fuzz(func(t *testing.T, s string) {
		values, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		q, err := ParseQuery(values)
		if err != nil {
			if p, ok := errors.AsType[*scitt.Problem](err); !ok || p.Status != 400 || !utf8.ValidString(p.Detail) {
				t.Fatalf("%v", err)
			}
			return
		}
		a, err := x.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if a.Next != "" {
			if c, err := parseCursor(a.Next); err != nil || c.String() != a.Next {
				t.Fatalf("%q: %v", a.Next, err)
			}
		}
	})
}

// collected is an emitter that keeps all.
type collected struct {
	all []string
}

func (c *collected) term(k kind, path, value string) {
	c.all = append(c.all, string(appendTerm(nil, k, path, value)))
}
func (c *collected) number(k kind, path string, v float64) {
	c.all = append(c.all, string(appendTerm(nil, k, path, exact(v))))
}

// FuzzPayload: whatever a payload holds, it is read the same way twice; JSON
// is taken when encoding/json takes it, but for bad UTF-8, unpaired
// surrogates and depth.
func FuzzPayload(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"c"}]}`, `"\ud83d\ude42"`, `[1e5,-0,0.5,true,null]`, `{"a":1,}`, ` [ ] `, `"\ud800"`, "\"\xff\"", `01`, `{"time":5,"class_uid":5023}`} {
		f.Add([]byte(s), "application/json")
	}
	f.Add([]byte{0xa1, 0x01, 0x02}, "application/cbor")
	f.Add([]byte{0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0}, "60")
	f.Add([]byte("Some Text ΑΣ"), "text/plain")
	f.Fuzz(func(t *testing.T, payload []byte, mediaType string) {
		var first, second collected
		var docs [2]document
		for i, c := range []*collected{&first, &second} {
			docs[i].Content = format(mediaType, payload)
			docs[i].payload(payload, c)
			docs[i].event(c)
		}
		if !slices.Equal(first.all, second.all) || !bytes.Equal(encode(t, docs[0].Hit), encode(t, docs[1].Hit)) {
			t.Fatal("read in two ways")
		}
		taken := docs[0].Content == contentJSON
		if format(mediaType, payload) == contentJSON && taken != json.Valid(payload) && (taken ||
			(utf8.Valid(payload) && !bytes.Contains(payload, []byte(`\u`)) && bytes.Count(payload, []byte("{"))+bytes.Count(payload, []byte("[")) <= jsonx.MaxDepth)) {
			t.Fatalf("taken is %v, and encoding/json says %v", taken, !taken)
		}
	})
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzEntry: any bytes can be an entry of a foreign log.
func FuzzEntry(f *testing.F) {
	for _, e := range eventLog(f, 0, 3) {
		f.Add(e)
	}
	payload, err := cbor.Marshal(map[string]any{"a": []any{1, 2.5, nil, []byte{1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(statement(f, header("i", "s", map[any]any{3: "application/cbor"}), payload))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, entry []byte) {
		var c collected
		d, err := read(t.Context(), 7, entry, nil, &c)
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := scitt.EntryIDOf(entry); d.id != id || ok != (d.Entry == id.String()) || ok && len(c.all) == 0 {
			t.Fatal("an entry without its id")
		}
		stored := testlog.Must((&Index{secret: make([]byte, 16)}).parse(t.Context(), tiles.Entry{Index: 7, Data: entry}, nil))(t)
		var common Hit
		if err := json.Unmarshal([]byte(stored.common), &common); err != nil {
			t.Fatal(err)
		}
		common.Entry, common.Index, common.Subject, common.IssuedAt, common.Time, common.Artifact = d.Entry, 7, d.Subject, d.IssuedAt, d.Time, d.Artifact
		if common.Chain != nil {
			common.Chain.Seq = d.Chain.Seq
		}
		if !bytes.Equal(encode(t, common), encode(t, d.Hit)) {
			t.Fatalf("%+v is stored as %+v", d.Hit, common)
		}
	})
}

// FuzzWords: words are the same in any case and however the text is cut.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"Der Zürcher SEE", "東京tower", "a\xffb", "x", "ǅ İstanbul", "10.0.0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var words []string
		eachWord(s, func(w string) { words = append(words, w) })
		for _, w := range words {
			var again []string
			eachWord(" "+w+" ", func(w string) { again = append(again, w) })
			if len(again) != 1 || again[0] != w {
				t.Fatalf("the word %q becomes %q", w, again)
			}
		}
	})
}
