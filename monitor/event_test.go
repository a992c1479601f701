package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

func with(e object, more object) object {
	for name, v := range more {
		e[name] = v
	}
	return e
}

func ours(configuration object) object {
	return object{"conmotion": object{"configuration": configuration}}
}

func config(uid, content string, assets ...string) Config {
	c := Config{UID: uid, Assets: assets}
	if content != "" {
		c.Content = []byte(content)
	}
	return c
}

func TestParseEvent(t *testing.T) {
	device := object{"uid": "d1", "type_id": 1}
	entity := object{"uid": "e1", "data": object{"b": 1.0, "a": object{}}}
	for name, c := range map[string]struct {
		event   object
		assets  []string
		configs []Config
		sub     string
	}{
		"5023 inventory":           {inventory(Create, noon, "b", "a"), []string{"a", "b"}, nil, "inventory/"},
		"5023 inventory of one":    {inventory(Modify, noon, "a"), []string{"a"}, nil, "inventory/a"},
		"5023 delete":              {inventory(Delete, noon, "a"), []string{"a"}, nil, "inventory/a"},
		"5001":                     {with(event(5001, 2, "inventory.create", noon), object{"device": device}), []string{"d1"}, nil, "inventory/d1"},
		"5023 own data":            {configured(Create, noon, "a", object{"z": 1, "y": []int{1}}), []string{"a"}, []Config{config("a", `{"y":[1],"z":1}`, "a")}, "configuration/a"},
		"5023 data is null":        {configured(Create, noon, "a", nil), []string{"a"}, []Config{config("a", `null`, "a")}, "configuration/a"},
		"5023 without data":        {with(inventory(Modify, noon, "a"), object{"metadata": event(0, 0, "configuration.modify", 0)["metadata"]}), []string{"a"}, []Config{config("a", `{"name":"instance a","uid":"a"}`, "a")}, "configuration/a"},
		"5023 delete own":          {configured(Delete, noon, "a", 1), []string{"a"}, []Config{config("a", "", "a")}, "configuration/a"},
		"5023 shared":              {shared(Create, noon, "base", object{"x": 1}, "b", "a"), []string{"a", "b"}, []Config{config("base", `{"x":1}`, "a", "b")}, "configuration/base"},
		"5023 shared delete":       {shared(Delete, noon, "base", 1, "b"), []string{"b"}, []Config{config("base", "", "b")}, "configuration/base"},
		"5023 shared by same data": {with(configured(Create, noon, "a", object{"x": 1}), object{"unmapped": ours(object{"uid": "base"})}), []string{"a"}, []Config{config("base", `{"x":1}`, "a")}, "configuration/base"},
		"5023 content for each": {with(shared(Create, noon, "", 1, "a", "b"), object{"unmapped": ours(object{"content": 7})}), []string{"a", "b"},
			[]Config{config("b", `7`, "b"), config("a", `7`, "a")}, "configuration/"},
		"5019 states": {with(event(5019, 1, "configuration.modify", noon), object{"device": device, "state_id": 2, "state": "Enabled", "security_level_id": 1,
			"security_states": []object{{"state_id": 4, "state": "x"}, {"state_id": 2}, {"state_id": 4}}}), []string{"d1"},
			[]Config{config("d1", `{"security_level_id":1,"security_states":[2,4],"state_id":2}`, "d1")}, "configuration/d1"},
		"5019 content":        {with(event(5019, 1, "configuration.create", noon), object{"device": device, "state_id": 2, "unmapped": ours(object{"content": object{"k": "v"}, "uid": "c"})}), []string{"d1"}, []Config{config("c", `{"k":"v"}`, "d1")}, "configuration/c"},
		"3004 inventory":      {with(event(3004, 1, "inventory.create", noon), object{"entity": entity}), []string{"e1"}, nil, "inventory/e1"},
		"3004 other activity": {with(event(3004, 99, "inventory.delete", noon), object{"entity": entity}), []string{"e1"}, nil, "inventory/e1"},
		"3004 configuration":  {with(event(3004, 3, "configuration.modify", noon), object{"entity": entity}), nil, []Config{config("e1", `{"a":{},"b":1}`)}, "configuration/e1"},
		"3004 result data":    {with(event(3004, 3, "configuration.modify", noon), object{"entity": entity, "entity_result": object{"uid": "e1", "data": 2}}), nil, []Config{config("e1", `2`)}, "configuration/e1"},
		"3004 result":         {with(event(3004, 3, "configuration.modify", noon), object{"entity": entity, "entity_result": object{"uid": "e1"}}), nil, []Config{config("e1", `{"uid":"e1"}`)}, "configuration/e1"},
		"3004 assets": {with(event(3004, 8, "configuration.modify", noon), object{"entity": object{"uid": "e1"}, "unmapped": ours(object{"assets": []string{"y", "x"}})}), []string{"x", "y"},
			[]Config{config("e1", `{"uid":"e1"}`, "x", "y")}, "configuration/e1"},
		"caseless names are other names": {with(configured(Create, noon, "a", 1), object{"unmapped": object{"Conmotion": object{"configuration": object{"uid": "no"}}}}), []string{"a"}, []Config{config("a", `1`, "a")}, "configuration/a"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := ParseEvent(encode(c.event))
			if err != nil {
				t.Fatal(err)
			}
			if e.Time != noon || e.Subject() != c.sub {
				t.Errorf("time %d, subject %q", e.Time, e.Subject())
			}
			if len(e.Assets)+len(c.assets) > 0 && !reflect.DeepEqual(e.Assets, c.assets) {
				t.Errorf("assets %q, not %q", e.Assets, c.assets)
			}
			if len(e.Configurations) != len(c.configs) {
				t.Fatalf("configurations %v", e.Configurations)
			}
			for _, want := range c.configs {
				found := false
				for _, got := range e.Configurations {
					if got.UID == want.UID {
						found = bytes.Equal(got.Content, want.Content) && (len(got.Assets)+len(want.Assets) == 0 || reflect.DeepEqual(got.Assets, want.Assets))
					}
				}
				if !found {
					t.Errorf("no %s %s %v in %s", want.UID, want.Content, want.Assets, e.Configurations)
				}
			}
			known := must(KnownRecord(encode(c.event)))(t).Event
			for _, e := range []*Event{e, known} {
				for i, d := range e.about {
					e.about[i] = described{uid: d.uid}
				}
				for i := range e.Configurations {
					e.Configurations[i].Content = nil
				}
			}
			if !reflect.DeepEqual(known, e) {
				t.Errorf("where it is known it is about %+v, not %+v", known, e)
			}
		})
	}
}

func TestParseEventRefuses(t *testing.T) {
	device := object{"uid": "d1", "type_id": 1}
	for name, c := range map[string]struct {
		event object
		piece string
		other bool
	}{
		"no resources":         {with(event(5023, 1, "inventory.create", noon), object{"cloud": object{"provider": "p"}}), "no resources", false},
		"no uid":               {with(event(5023, 1, "inventory.create", noon), object{"resources": []object{{"name": "x"}}}), "no uid", false},
		"uid twice":            {inventory(Create, noon, "a", "a"), "twice", false},
		"shared uid twice":     {shared(Create, noon, "c", 1, "a", "a"), "twice", false},
		"own uid twice":        {with(shared(Create, noon, "c", 1, "a", "a"), object{"unmapped": object{}}), "twice", false},
		"uid too long":         {inventory(Create, noon, strings.Repeat("u", maxUID+1)), "2049 bytes", false},
		"device without uid":   {with(event(5001, 1, "inventory.create", noon), object{"device": object{"name": "x", "type_id": 1}}), "no uid", false},
		"5001 configuration":   {with(event(5001, 1, "configuration.create", noon), object{"device": device}), "class 5001 has no configuration", false},
		"5019 inventory":       {with(event(5019, 1, "inventory.create", noon), object{"device": device}), "class 5019 has no inventory", false},
		"different data":       {with(event(5023, 1, "configuration.create", noon), object{"resources": []object{{"uid": "a", "data": 1}, {"uid": "b", "data": 2}}, "unmapped": ours(object{"uid": "c"})}), "different data", false},
		"unknown setting":      {with(configured(Create, noon, "a", 1), object{"unmapped": ours(object{"asset": "x"})}), "no such member", false},
		"assets of 5023":       {with(configured(Create, noon, "a", 1), object{"unmapped": ours(object{"assets": []string{"x"}})}), "is for class 3004", false},
		"empty configuration":  {shared(Create, noon, "", 1, "a"), "it is empty", false},
		"settings no object":   {with(configured(Create, noon, "a", 1), object{"unmapped": object{"conmotion": 1}}), "unmapped.conmotion", false},
		"3004 read":            {with(event(3004, 2, "inventory.modify", noon), object{"entity": object{"uid": "e"}}), "changes nothing", false},
		"3004 contradiction":   {with(event(3004, 1, "inventory.delete", noon), object{"entity": object{"uid": "e"}}), "activity_id 1 says create", false},
		"bad code":             {inventory("destroy", noon, "a"), "metadata.event_code", false},
		"wide integer":         {configured(Create, noon, "a", json.RawMessage("9007199254740993")), "2^53", false},
		"time in seconds":      {inventory(Create, noon/1000, "a"), "seconds", false},
		"another event code":   {inventory("x", noon, "a"), "", false},
		"no event code":        {with(inventory(Create, noon, "a"), object{"metadata": event(0, 0, "", 0)["metadata"]}), "", true},
		"finding":              {with(event(2004, 1, "inventory.create", noon), object{"finding_info": object{"uid": "f"}}), "", true},
		"code of another tool": {with(inventory(Create, noon, "a"), object{"metadata": event(0, 0, "Ec2.Create", 0)["metadata"]}), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := ParseEvent(encode(c.event))
			if err == nil {
				t.Fatalf("read as %+v", e)
			}
			if errors.Is(err, ErrOther) != c.other || errors.Is(err, ErrEvent) == c.other || !strings.Contains(err.Error(), c.piece) {
				t.Error(err)
			}
		})
	}
	for _, data := range []string{"", "[]", "{}", `{"time":1,"time":2}`, "{"} {
		if _, err := ParseEvent([]byte(data)); err == nil {
			t.Errorf("%q was read", data)
		}
	}
}

func TestNewRecord(t *testing.T) {
	e := inventory(Create, noon, "a")
	delete(e["metadata"].(object), "event_code")
	spaced := must(json.MarshalIndent(e, "", "   "))(t)
	r := must(NewRecord(spaced, Inventory, Create))(t)
	if tight := must(NewRecord(encode(e), Inventory, Create))(t); !bytes.Equal(r.Payload, tight.Payload) {
		t.Error("the same event in two spellings is two artifacts")
	}
	if !bytes.Contains(r.Payload, []byte(`"event_code":"inventory.create"`)) || r.Event.Code() != "inventory.create" {
		t.Errorf("payload %s", r.Payload)
	}
	golden(t, "record.json", r.Payload)
	for name, err := range map[string]error{
		"other code":   second(NewRecord(r.Payload, Inventory, Delete)),
		"other kind":   second(NewRecord(r.Payload, Configuration, "")),
		"no action":    second(NewRecord(spaced, Inventory, "")),
		"invalid":      second(NewRecord([]byte(`{"class_uid":5023}`), Inventory, Create)),
		"malformed":    second(NewRecord([]byte(`{`), Inventory, Create)),
		"wide integer": second(NewRecord(encode(with(inventory(Create, noon, "a"), object{"unmapped": object{"n": json.RawMessage("-9007199254740992")}})), Inventory, Create)),
	} {
		if !errors.Is(err, ErrEvent) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entity := with(event(3004, 4, "", noon), object{"entity": object{"uid": "e"}})
	delete(entity["metadata"].(object), "event_code")
	if r := must(NewRecord(encode(entity), Configuration, ""))(t); r.Event.Action != Delete {
		t.Errorf("activity 4 is %s", r.Event.Action)
	}
}

func second[T any](_ T, err error) error { return err }

func TestRecordSign(t *testing.T) {
	r := must(NewRecord(encode(inventory(Create, noon, "a")), Inventory, ""))(t)
	key := testKey("provider")
	now := time.Unix(1_800_000_000, 0)
	s := must(scitt.ParseStatement(must(testlog.SignAs(key, r, scitt.SignOptions{IssuedAt: now, Chain: (*scitt.Head)(nil).Next("inventory")}))(t)))(t)
	if s.Type != scitt.TypeRecord || s.Subject != "inventory/a" || s.ContentType != ContentType || s.IssuedAt != now.Unix() || s.Chain.Seq != 0 || !bytes.Equal(s.Payload, r.Payload) {
		t.Errorf("%+v", s)
	}
	s = must(scitt.ParseStatement(must(testlog.SignAs(key, r, scitt.SignOptions{IssuedAt: now, Hash: true, Location: "https://a.example/x", Type: scitt.TypeObservation}))(t)))(t)
	if ok, err := s.PayloadMatches(r.Payload); err != nil || !ok || s.Envelope.Location == "" || s.Type != scitt.TypeObservation {
		t.Errorf("%+v", s)
	}
}

// TestArchitectureExamples: the architecture's own events, where they are at
// hand, become records.
func TestArchitectureExamples(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("..", "..", "shared", "ocsf", "conmotion-example_inventory_*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		r, err := NewRecord(must(os.ReadFile(name))(t), Inventory, Create)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(r.Event.Assets) != 1 || r.Event.Time != 1752469463715 {
			t.Errorf("%s: %+v", name, r.Event)
		}
	}
}

func TestDifferences(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want []string
	}{
		{`{"a":1,"b":[1,2]}`, `{"a":1,"b":[1,2]}`, nil},
		{`{"a":1}`, `{"a":2}`, []string{"$.a"}},
		{`{"a":1}`, `{"b":1}`, []string{"$.a", "$.b"}},
		{`{"a":{"x":[{"y":1},2]}}`, `{"a":{"x":[{"y":2}]}}`, []string{"$.a.x[0].y", "$.a.x[1]"}},
		{`{"a b":1,"1":true,"":0}`, `{"a b":"1","1":false,"":null}`, []string{`$[""]`, `$["1"]`, `$["a b"]`}},
		{`[]`, `{}`, []string{"$"}},
		{`1`, `[1]`, []string{"$"}},
		{`[1]`, `1`, []string{"$"}},
		{`null`, `0`, []string{"$"}},
		{`{"a":1}`, ` {"a":1}`, []string{"$"}},
		{`{"a":1}`, `{"a"`, []string{"$"}},
	} {
		if got, _ := differences([]byte(c.a), []byte(c.b)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s and %s differ at %v, not %v", c.a, c.b, got, c.want)
		}
	}
	many := func(n int) []byte { return encode(make([]int, n)) }
	if got, more := differences(many(0), many(40)); len(got) != maxPaths || more != 8 {
		t.Errorf("%d and %d more", len(got), more)
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, e := range []object{inventory(Create, noon, "a"), configured(Modify, noon, "a", 1), shared(Delete, noon, "c", 1, "a")} {
		f.Add(encode(e))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEvent(data)
		if err != nil {
			if !errors.Is(err, ErrEvent) && !errors.Is(err, ErrOther) {
				t.Error(err)
			}
			return
		}
		r, err := NewRecord(data, e.Kind, e.Action)
		if errors.Is(err, ErrMalformed) {
			return // an integer that only the canonical form cannot hold
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Event.Subject() != e.Subject() || !slices.Equal(r.Event.Assets, e.Assets) {
			t.Errorf("the canonical form says something else: %+v and %+v", r.Event, e)
		}
		for _, c := range e.Configurations {
			if c.Content != nil && !json.Valid(c.Content) {
				t.Errorf("content %q", c.Content)
			}
		}
	})
}
