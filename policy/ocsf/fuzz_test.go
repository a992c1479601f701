package ocsf

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func addEvents(f *testing.F) {
	for _, o := range examples() {
		f.Add(encode(f, o))
	}
	for _, s := range []string{
		``, `{}`, `[]`, `{"class_uid":5023}`, `{"class_uid":5023,"class_uid":5001}`, `{"class_uid":2004,"evidences":[{"url":{}}],"x":null}`,
		`{"class_uid":5002,"time":1752473191,"metadata":{"profiles":["datetime",1,"x"],"version":"1.4.0-rc.1"}}`,
		`{"a":"\ud83d\ude00\u0000","\u0061b":[1e5,-0,0.5,true,false,null]}`, "{\"a\":\"\xff\"}", strings.Repeat(`{"a":[`, 40),
		`{"class_uid":3004,"observables":[{"name":"a..b[","value":"x","type_id":99}],"activity_id":99,"type_uid":9223372036854775807}`,
	} {
		f.Add([]byte(s))
	}
}

// FuzzCheck: whatever the bytes, Check ends in ErrMalformed or in a bounded report that depends on nothing but them.
func FuzzCheck(f *testing.F) {
	addEvents(f)
	f.Fuzz(func(t *testing.T, event []byte) {
		before := bytes.Clone(event)
		rep, err := Default().Check(event)
		again, err2 := Default().Check(event)
		if !bytes.Equal(event, before) || !reflect.DeepEqual(rep, again) || (err == nil) != (err2 == nil) {
			t.Fatalf("a second check differs: %+v, %v; %+v, %v", rep, err, again, err2)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(rep, Report{}) {
				t.Fatalf("%+v, %v", rep, err)
			}
			return
		}
		if len(rep.Errors) > maxFindings || len(rep.Warnings) > maxFindings || rep.MoreErrors < 0 || rep.MoreWarnings < 0 {
			t.Fatalf("%d and %d findings, %d and %d more", len(rep.Errors), len(rep.Warnings), rep.MoreErrors, rep.MoreWarnings)
		}
		for _, fi := range append(rep.Errors, rep.Warnings...) {
			if fi.Path == "" || fi.Path[0] != '$' || fi.Code == "" || fi.Message == "" || !utf8.ValidString(fi.String()) {
				t.Fatalf("finding %+v", fi)
			}
		}
		quiet := rep
		quiet.Warnings, quiet.MoreWarnings = nil, 0
		if got, err := Default().Errors(event); err != nil || !reflect.DeepEqual(got, quiet) {
			t.Fatalf("without warnings %+v, %v; with them %+v", got, err, rep)
		}
		if sum, err := summarize(event); err != nil || rep.Class != "" && sum != rep.Summary {
			t.Fatalf("summary %+v, %v; in the report %+v", sum, err, rep.Summary)
		}
	})
}

// FuzzParse compares the parser with encoding/json: what both accept means the same, and what only encoding/json
// accepts is ambiguous, nested too deep, or not in UTF-8.
func FuzzParse(f *testing.F) {
	addEvents(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := Parse(src)
		if err != nil {
			if json.Valid(src) && !strings.Contains(err.Error(), "is there twice") && !strings.Contains(err.Error(), "nested deeper") &&
				!strings.Contains(err.Error(), "surrogate") && !strings.Contains(err.Error(), "invalid UTF-8") {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		dec := json.NewDecoder(bytes.NewReader(src))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil || !json.Valid(src) {
			t.Fatalf("%q is accepted: %v", src, err)
		}
		if got := d.Any(0); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, want %v", src, got, want)
		}
	})
}

// FuzzLoad: a schema is refused, or it is one that can check events.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(`{"version":"1.5.0","classes":{"a":{"uid":5023,"attributes":{"x":{"type":"object_t","object_type":"o","is_array":true}}}},` +
		`"objects":{"o":{"attributes":{"x":{"type":"object_t","object_type":"o"}}}}}`))
	f.Add([]byte(`{"version":"1.5.0","classes":{"a":null},"types":{"t":{"type":"t"}}}`))
	event := []byte(`{"class_uid":5023,"x":[{"x":{}}],"metadata":{"profiles":["a"]}}`)
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := Load(bytes.NewReader(src))
		if err != nil {
			if s != nil {
				t.Fatal("a schema beside an error")
			}
			return
		}
		if len(s.Classes()) == 0 || s.Version() == "" {
			t.Fatalf("classes %v, version %q", s.Classes(), s.Version())
		}
		for _, e := range [][]byte{event, []byte(small)} {
			if _, err := s.Check(e); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// BenchmarkCheck checks a compact event of about 2 KiB.
func BenchmarkCheck(b *testing.B) {
	for _, name := range []string{"measurement.json", "configuration_provider.json"} {
		b.Run(name, func(b *testing.B) {
			var event bytes.Buffer
			if err := json.Compact(&event, encode(b, examples()[name])); err != nil {
				b.Fatal(err)
			}
			s := Default()
			b.SetBytes(int64(event.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if rep, err := s.Check(event.Bytes()); err != nil || !rep.OK() {
					b.Fatal(rep.Errors, err)
				}
			}
		})
	}
}

// BenchmarkCheckHostile checks 64 KiB, the most that a log entry holds, of the smallest objects that each lack something.
func BenchmarkCheckHostile(b *testing.B) {
	event := []byte(`{"class_uid":2004,"evidences":[` + strings.TrimSuffix(strings.Repeat("{},", 21_000), ",") + `]}`)
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Default().Check(event); err != nil {
			b.Fatal(err)
		}
	}
}
