package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// count returns how many items well-formed input has: each top-level value is one, and each element of a top-level array
// or of a container's array. ok is false where encoding/json does not read the input to its end, or reads it in more
// than one way.
func count(in []byte, containers ...string) (n int, ok bool) {
	d := json.NewDecoder(bytes.NewReader(in))
	for {
		var raw json.RawMessage
		switch err := d.Decode(&raw); {
		case err == io.EOF:
			return n, true
		case err != nil:
			return 0, false
		}
		switch raw[0] {
		case '[':
			var l []json.RawMessage
			if json.Unmarshal(raw, &l) != nil {
				return 0, false
			}
			n += len(l)
		case '{':
			m := json.NewDecoder(bytes.NewReader(raw))
			m.Token()
			held := -1
			for m.More() {
				key, err := m.Token()
				var v json.RawMessage
				if err != nil || m.Decode(&v) != nil {
					return 0, false
				}
				for _, c := range containers {
					var l []json.RawMessage
					if key == c && v[0] == '[' && json.Unmarshal(v, &l) == nil {
						held = max(held, 0) + len(l)
					} else if key == c || strings.ContainsRune(key.(string), '\ufffd') {
						return 0, false // a name whose spelling decides: \u0061ssets
					}
				}
			}
			if n++; held >= 0 {
				n += held - 1
			}
		default:
			return 0, false // text between lines
		}
	}
}

// fuzz checks one format on any input: no panic, every event valid (checkItem), the same result twice, and as many
// items with an outcome as the input has. good is an item that gives events whatever stands after it.
func fuzz(f *testing.F, c converter, good object, seeds [][]byte, containers ...string) {
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)*2/3])
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		o := Options{Inventory: true, maxItem: 1 << 20}
		r := run(t, c, bytes.NewReader(in), o)
		if again := run(t, c, bytes.NewReader(in), o); again.events() != r.events() || len(again.problems) != len(r.problems) {
			t.Fatal("another result")
		}
		if r.err != nil && !errors.Is(r.err, ErrInput) && !bytes.HasPrefix(in, []byte("\x1f\x8b")) {
			t.Fatal(r.err)
		}
		if n, ok := count(in, containers...); ok && !bytes.HasPrefix(in, []byte("\xef\xbb\xbf")) && deepest(in) <= 64 {
			places := map[Position]bool{}
			for _, i := range r.items {
				places[i.Position] = true
			}
			for _, p := range r.problems {
				places[p.Position] = true
			}
			if len(places) != n && !bytes.Contains(in, []byte("BOOKMARK")) || r.err != nil {
				t.Fatalf("%d of %d items have an outcome, %v", len(places), n, r.err)
			}
		}
		alone := one(t, c, good)
		first := append(append(mustJSON(good), '\n'), in...)
		if r := run(t, c, bytes.NewReader(first), Options{}); !strings.HasPrefix(r.events(), alone.events()) {
			t.Fatalf("the first item is lost: %v, %v", r.problems, r.err)
		}
	})
}

// deepest is at least how deep the input is nested.
func deepest(in []byte) (most int) {
	depth := 0
	for _, b := range in {
		switch b {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		most = max(most, depth)
	}
	return most
}

func FuzzAWSConfig(f *testing.F) {
	ci := awsSample(1, "OK")
	seeds := [][]byte{awsSnapshot(5), jsonLines(awsSamples(4)), mustJSON(awsNotification(ci)),
		mustJSON(object{"Message": string(mustJSON(awsNotification(ci)))}), mustJSON(object{"baseConfigurationItems": list{ci, 1, nil, list{}}, "a": 1})}
	fuzz(f, readAWS, ci, seeds, "configurationItems", "baseConfigurationItems", "Records", "Messages")
}

func FuzzGCPAssets(f *testing.F) {
	vm := gcpSample(0)
	seeds := [][]byte{gcpExport(4), gcpFeed(2), mustJSON(object{"assets": list{vm, object{"asset": vm, "deleted": true}}}),
		mustJSON(object{"message": object{"data": "e30="}}), []byte("text\n{}")}
	fuzz(f, readGCP, vm, seeds, "assets")
}

func FuzzProwler(f *testing.F) {
	finding := prowlerSample(0)
	seeds := [][]byte{prowlerFile(2), jsonLines(prowlerSamples(2)), mustJSON(with(finding, object{"a b": 1, "unmapped": 1, "time": "x"})),
		mustJSON(with(finding, object{"resources": list{object{"uid": "a", "labels": list{1}}, object{"name": "b", "owner": 5}}}))}
	fuzz(f, readProwler, finding, seeds)
}

// FuzzEncode compares encode with encoding/json.
func FuzzEncode(f *testing.F) {
	f.Add([]byte(`{"b":[1.50,"\u0000\"\\<é\u2028"],"a":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := decode(in)
		if err != nil {
			return
		}
		got, err := decode(encode(v))
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("%q became %q: %v", in, encode(v), err)
		}
		var plain any
		d := json.NewDecoder(bytes.NewReader(encode(v)))
		d.UseNumber()
		if err := d.Decode(&plain); err != nil || !reflect.DeepEqual(plain, v) {
			t.Fatalf("encoding/json reads %q otherwise: %v", encode(v), err)
		}
	})
}

func FuzzRepair(f *testing.F) {
	f.Add([]byte(`{"activity_id":2,"category_uid":5,"class_uid":5001,"type_uid":500102,"severity_id":1,"time":1681545600,"metadata":{"product":{"vendor_name":"o"},"version":"1.6.0","event_code":"x"},"device":{"uid":"d","type_id":5}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, did := Repair(in)
		if (did == nil) != bytes.Equal(in, out) {
			t.Fatalf("%v and %s", did, out)
		}
		if rep, err := ocsf.Default().Errors(out); did != nil && (err != nil || !rep.OK()) {
			t.Fatalf("%v %v", err, rep.Errors)
		}
	})
}
