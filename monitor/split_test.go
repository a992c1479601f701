package monitor

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/gowebpki/jcs"

	"github.com/conmotion/conmotion/policy/ocsf"
)

func splitSeeds() []string {
	return []string{
		`{}`, `[]`, ` {"a" : [1 , 2],"b":{"c":"}\"]"}} `, `{"resources":[{"uid":"a","data":{"x":[1,{"y":"\\"}]}},null, {"uid":"\u0061"}]}`,
		`{"resources":null}`, `{"resources":{}}`, `{"device":null}`, `{"device":{"uid":null}}`, `{"device":{"uid":7}}`, `{"\u0064evice":{"uid":"x"}}`,
		`{"device":{"uid":"x","data":null},"unmapped":{"conmotion":{"configuration":{"uid":"c"}}}}`, `{"state_id":"1"}`, `{"security_states":[{"state_id":1},{}]}`,
		`{"entity":{"uid":"e","data":[true,false,null,1e3]},"entity_result":7}`, `{"a":1`, `{"a"}`, `[1,]`, `nul`, `"`, `{"a":"\`,
	}
}

// TestReadRaw: whichever way an event is read, it says the same.
func TestReadRaw(t *testing.T) {
	for _, text := range splitSeeds() {
		if !json.Valid([]byte(text)) {
			continue
		}
		var want rawEvent
		wantErr := json.Unmarshal([]byte(text), &want)
		got, err := readRaw([]byte(text))
		if !reflect.DeepEqual(err, wantErr) || err == nil && !reflect.DeepEqual(normalRaw(*got), normalRaw(want)) {
			t.Errorf("%s: %+v, %v; want %+v, %v", text, got, err, want, wantErr)
		}
		for _, r := range want.Resources {
			var entity rawEntity
			wantErr := json.Unmarshal(r, &entity)
			if got, err := readEntity(r); !reflect.DeepEqual(err, wantErr) || err == nil && !reflect.DeepEqual(got, entity) {
				t.Errorf("%s: %+v, %v; want %+v, %v", r, got, err, entity, wantErr)
			}
		}
	}
}

// normalRaw does away with the difference between no slice and an empty one.
func normalRaw(r rawEvent) rawEvent {
	if len(r.Resources) == 0 {
		r.Resources = nil
	}
	return r
}

// FuzzReadRaw: what an event is read for does not depend on the way that it is
// read, for all events that are valid and so can be records.
func FuzzReadRaw(f *testing.F) {
	for _, text := range splitSeeds() {
		f.Add([]byte(text))
	}
	f.Add(encode(inventory(Create, noon, "a", "b")))
	f.Add(encode(configured(Modify, noon, "a", object{"x": []int{1, 2}})))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = readRaw(data) // no bytes lead out of bounds
		_, _ = elements(data)
		if report, err := ocsf.Default().Errors(data); err != nil || !report.OK() {
			return
		}
		var want rawEvent
		wantErr := json.Unmarshal(data, &want)
		got, err := readRaw(data)
		if !reflect.DeepEqual(err, wantErr) || err == nil && !reflect.DeepEqual(normalRaw(*got), normalRaw(want)) {
			t.Fatalf("%+v, %v; want %+v, %v", got, err, want, wantErr)
		}
	})
}

// FuzzIsCanonical: what is taken for canonical is what JCS makes of it.
func FuzzIsCanonical(f *testing.F) {
	for _, text := range append(splitSeeds(), `{"a":1,"b":[true,null,"x y"],"c":{}}`, `{"b":1,"a":1}`, `{"a":1,"a":2}`, `[-0]`, `[01]`, `[-1,0,999999999999999]`,
		`[9007199254740993]`, `[1.0]`, `[1e2]`, `["\u0041"]`, `["é"]`, `["\u007f"]`, "[\"\x7f\"]", `[truefalse]`, `["a"`, `{"":""}`) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !isCanonical(data) {
			return
		}
		if n := wideInteger(data); n != "" {
			t.Fatalf("%s is too wide", n)
		}
		if out, err := jcs.Transform(data); err != nil || !bytes.Equal(out, data) {
			t.Fatalf("%s becomes %s, %v", data, out, err)
		}
	})
}
