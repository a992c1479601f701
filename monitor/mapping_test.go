package monitor

import (
	"encoding/json"
	"testing"

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

// FuzzReadRaw: for all events that are valid, and so can be records, what an
// event is read for is what encoding/json reads.
func FuzzReadRaw(f *testing.F) {
	for _, text := range splitSeeds() {
		f.Add([]byte(text))
	}
	f.Add(encode(inventory(Create, noon, "a", "b")))
	f.Add(encode(configured(Modify, noon, "a", object{"x": []int{1, 2}})))
	type entity struct {
		UID  string          `json:"uid"`
		Data json.RawMessage `json:"data"`
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = ParseEvent(data) // no bytes lead out of bounds
		tree, err := ocsf.Parse(data)
		if err != nil {
			return
		}
		if report := ocsf.Default().CheckTree(tree, true); !report.OK() {
			return
		}
		var want struct {
			Resources    []json.RawMessage `json:"resources"`
			Device       *entity           `json:"device"`
			Entity       json.RawMessage   `json:"entity"`
			EntityResult json.RawMessage   `json:"entity_result"`
			StateID      *int64            `json:"state_id"`
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		raw := rawEvent{Tree: tree}
		same := func(n int32, text json.RawMessage) {
			t.Helper()
			var want entity
			if n == 0 {
				if text != nil {
					t.Fatalf("%s is not found", text)
				}
				return
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			got := raw.entity(n)
			if got.uid != want.UID || got.self != n || raw.JSON(n) != string(text) || (got.data == 0) != (want.Data == nil) || got.data != 0 && raw.JSON(got.data) != string(want.Data) {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
		n := int32(0)
		if list := raw.Find("resources"); list != 0 {
			n = raw.First(list)
		}
		for _, text := range want.Resources {
			same(n, text)
			n = raw.Next(n)
		}
		same(raw.Find("entity"), want.Entity)
		same(raw.Find("entity_result"), want.EntityResult)
		if device, ok := raw.device(); ok != (want.Device != nil) || ok && (device.uid != want.Device.UID || (device.data == 0) != (want.Device.Data == nil)) {
			t.Fatalf("%+v, want %+v", device, want.Device)
		}
		if v, ok := raw.integer(raw.Find("state_id")); ok != (want.StateID != nil) || ok && v != *want.StateID {
			t.Fatalf("state_id %d", v)
		}
	})
}
