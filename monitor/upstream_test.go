package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

const testRef = `{"entry_id":"00000000000000000000000000000000000000000000000000000000000000aa","index":3,"origin":"log.provider.example"}`

func TestUpstream(t *testing.T) {
	id := strings.Repeat("0", 62) + "aa"
	a, b, c := EntryRef{id, 1, "a"}, EntryRef{id, 2, "a"}, EntryRef{id, 1, "b"}
	e := encode(shared(Create, noon, "base", 1, "x"))
	if refs, err := upstreamOf(e); refs != nil || err != nil {
		t.Errorf("%v, %v", refs, err)
	}
	one := must(WithUpstream(e, []EntryRef{c, a, c}))(t)
	two := must(WithUpstream(one, []EntryRef{b, a}))(t)
	if refs := must(upstreamOf(two))(t); !reflect.DeepEqual(refs, []EntryRef{a, b, c}) {
		t.Errorf("%v", refs)
	}
	if same := must(WithUpstream(two, nil))(t); !bytes.Equal(same, two) {
		t.Error("nothing added is another event")
	}
	if r := must(NewRecord(two, Configuration, ""))(t); !bytes.Equal(r.Payload, two) {
		t.Error("not in JCS form")
	}
	// What the record says is the same.
	if x, y := must(ParseEvent(e))(t), must(ParseEvent(two))(t); !reflect.DeepEqual(x, y) {
		t.Errorf("%+v is now %+v", x, y)
	}
	many := make([]EntryRef, maxUpstream+1)
	for i := range many {
		many[i] = EntryRef{id, uint64(i), "a"}
	}
	for name, err := range map[string]error{
		"too many":  second(WithUpstream(e, many)),
		"no origin": second(WithUpstream(e, []EntryRef{{EntryID: id}})),
		"no id":     second(WithUpstream(e, []EntryRef{{Origin: "a"}})),
		"no event":  second(WithUpstream([]byte(`{"a":1,"a":2}`), []EntryRef{a})),
		"wide":      second(WithUpstream(encode(with(inventory(Create, noon, "a"), object{"unmapped": object{"n": json.RawMessage("9007199254740992")}})), []EntryRef{a})),
	} {
		if !errors.Is(err, ErrEvent) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUpstreamIsNoPartOfReplay: not even a list that cannot be read changes
// what a replay says.
func TestUpstreamIsNoPartOfReplay(t *testing.T) {
	for _, upstream := range []any{[]object{}, 1, "x", []object{{"origin": "o"}}} {
		e := with(inventory(Create, noon, "a"), object{"unmapped": object{"conmotion": object{"upstream": upstream}}})
		if _, err := upstreamOf(encode(e)); !errors.Is(err, ErrEvent) {
			t.Errorf("%v: %v", upstream, err)
		}
		p := newParty(t, "provider", scitt.TypeRecord)
		p.record(e)
		r := p.replay(nil)
		if anomalies, _ := r.Anomalies(); len(anomalies) > 0 {
			t.Errorf("%v: %v", upstream, anomalies)
		}
		if _, alive := r.Asset("a"); !alive {
			t.Errorf("%v: the asset is not there", upstream)
		}
	}
	for name, list := range map[string]string{
		"twice":         testRef + "," + testRef,
		"unknown":       strings.Replace(testRef, `{`, `{"a":1,`, 1),
		"another case":  strings.Replace(testRef, "origin", "Origin", 1),
		"no index":      strings.Replace(testRef, `"index":3,`, "", 1),
		"index is wide": strings.Replace(testRef, `3`, "9007199254740992", 1),
		"null":          "null",
	} {
		e := encode(with(inventory(Create, noon, "a"), object{"unmapped": object{"conmotion": object{"upstream": json.RawMessage("[" + list + "]")}}}))
		if refs, err := upstreamOf(e); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v, %v", name, refs, err)
		}
	}
}

func FuzzUpstream(f *testing.F) {
	e := inventory(Create, noon, "a")
	f.Add(encode(e))
	f.Add(encode(with(e, object{"unmapped": object{"conmotion": object{"upstream": json.RawMessage("[" + testRef + "]")}}})))
	f.Add([]byte(`{"unmapped":{"conmotion":{"upstream":[{"Index":1}]}}}`))
	f.Add([]byte(`{"unmapped":null}`))
	extra := EntryRef{strings.Repeat("0", 64), 7, "log.example"}
	f.Fuzz(func(t *testing.T, data []byte) {
		refs, err := upstreamOf(data)
		if err != nil {
			if !errors.Is(err, ErrEvent) {
				t.Error(err)
			}
			return
		}
		more, err := WithUpstream(data, []EntryRef{extra})
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return // too many, or a number that the canonical form cannot hold
		}
		again, err := upstreamOf(more)
		if err != nil || len(again) < len(refs) || len(again) > len(refs)+1 {
			t.Errorf("%v became %v: %v", refs, again, err)
		}
	})
}
