package importer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/policy/ocsf"
)

var update = flag.Bool("update", false, "write testdata anew")

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

type (
	reader    = io.Reader
	seq       = iter.Seq2[Item, error]
	converter func(reader, Options) seq
)

var converters = func() map[string]converter {
	m := map[string]converter{}
	for _, f := range Formats() {
		m[f.Name] = f.Read
	}
	return m
}()

// result is everything that a conversion gave.
type result struct {
	items    []Item
	problems []Problem
	err      error
}

// run collects a conversion's results and checks every event: valid, in its fixed form, and as the Item says.
func run(t testing.TB, c converter, in io.Reader, o Options) (r result) {
	t.Helper()
	for item, err := range c(in, o) {
		if r.err != nil {
			t.Fatalf("%v comes after the error %v", err, r.err)
		}
		if p, ok := err.(*Problem); ok {
			r.problems = append(r.problems, *p)
			continue
		}
		if r.err = err; err == nil {
			checkItem(t, item)
			r.items = append(r.items, item)
		}
	}
	return r
}

func checkItem(t testing.TB, i Item) {
	t.Helper()
	rep, err := ocsf.Default().Check(i.Event)
	if err != nil || !rep.OK() {
		t.Fatalf("not valid: %v, %v\n%s", err, rep.Errors, i.Event)
	}
	v, err := decode(i.Event)
	if err != nil {
		t.Fatal(err)
	}
	if again := encode(v); !bytes.Equal(again, i.Event) {
		t.Fatalf("not in its fixed form:\n%s\n%s", i.Event, again)
	}
	e := v.(object)
	if rep.UID == "" || rep.Version != "1.5.0" || rep.Time != i.Time.UnixMilli() {
		t.Fatalf("item at %s, event %s", i.Time, i.Event)
	}
	if i.Kind == Finding {
		return
	}
	if class := get(e, "class_uid"); class != json.Number("5023") || i.Kind == Configuration && i.ConfigUID == "" { // OCSF of other writers
		if rep.EventCode != i.Kind+"."+i.Action || about(e) != i.AssetUID || i.ConfigUID != "" {
			t.Fatalf("item %s %s of %q; event %s", i.Kind, i.Action, i.AssetUID, i.Event)
		}
		return
	}
	id, _ := get(e, "unmapped.configuration_uid").(string)
	if rep.EventCode != i.Kind+"."+i.Action || get(e, "resources.0.uid") != i.AssetUID || i.AssetUID == "" || id != i.ConfigUID ||
		(i.Kind == Configuration) != strings.HasPrefix(id, i.AssetUID+"#") {
		t.Fatalf("item %s %s of %q, %q; event %s", i.Kind, i.Action, i.AssetUID, i.ConfigUID, i.Event)
	}
}

// get returns the value at a path such as resources.0.uid, nil if there is none.
func get(v any, path string) any {
	for _, s := range strings.Split(path, ".") {
		switch x := v.(type) {
		case object:
			v = x[s]
		case list:
			if len(x) <= int(s[0]-'0') {
				return nil
			}
			v = x[s[0]-'0']
		default:
			return nil
		}
	}
	return v
}

// short writes an item as kind.action.
func (r result) short() string {
	var s []string
	for _, i := range r.items {
		s = append(s, i.Kind+"."+i.Action)
	}
	return strings.Join(s, " ")
}

// runAll is run for input without problems.
func runAll(t testing.TB, c converter, in []byte, o Options) result {
	t.Helper()
	r := run(t, c, bytes.NewReader(in), o)
	if r.err != nil || len(r.problems) > 0 {
		t.Fatalf("%v, %v", r.err, r.problems)
	}
	return r
}

// events joins all events, one in each line.
func (r result) events() string {
	var b strings.Builder
	for _, i := range r.items {
		b.Write(append(i.Event, '\n'))
	}
	return b.String()
}

// TestTestdata: the samples and the events that they give, byte for byte. A change of an event's bytes or id means that
// importing an old file again registers everything once more.
func TestTestdata(t *testing.T) {
	for _, tt := range []struct {
		name, format string
		input        []byte
	}{
		{"aws-snapshot.json", "aws-config", awsSnapshot(9)},
		{"gcp-export.jsonl", "gcp-cai", gcpExport(4)},
		{"gcp-feed.jsonl", "gcp-cai", gcpFeed(4)},
		{"prowler.json", "prowler", prowlerFile(4)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := runAll(t, converters[tt.format], tt.input, Options{Inventory: true})
			for name, want := range map[string][]byte{tt.name: tt.input, tt.name + ".events": []byte(r.events())} {
				path := filepath.Join("testdata", name)
				if *update {
					if err := os.WriteFile(path, want, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s differs (%v); if that is meant: go test -update", path, err)
				}
			}
		})
	}
}

// TestSameItemSameEvent: neither white space nor the order of members, nor the file in which an item comes, nor
// compression changes an event.
func TestSameItemSameEvent(t *testing.T) {
	var indented bytes.Buffer
	if err := json.Indent(&indented, awsSnapshot(9), "  ", "\t"); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(awsSnapshot(9))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	cis := awsSamples(9)
	var messages []object
	for _, ci := range cis {
		text := string(mustJSON(awsNotification(ci)))
		messages = append(messages, object{"Type": "Notification", "MessageId": "8b945cb0-db34-5b72-b032-1724878af488", "Message": text})
	}
	want := runAll(t, readAWS, awsSnapshot(9), Options{}).events()
	for name, in := range map[string][]byte{
		"indented":   indented.Bytes(),
		"gzip":       packed.Bytes(),
		"lines":      jsonLines(awsSamples(9)),
		"array":      mustJSON(awsSamples(9)),
		"SNS":        jsonLines(messages),
		"mark":       append([]byte("\xef\xbb\xbf"), awsSnapshot(9)...),
		"carriage":   bytes.ReplaceAll(jsonLines(awsSamples(9)), []byte("\n"), []byte("\r\n")),
		"no newline": bytes.ReplaceAll(jsonLines(awsSamples(9)), []byte("\n"), nil),
	} {
		if got := runAll(t, readAWS, in, Options{}).events(); got != want {
			t.Errorf("%s: other events", name)
		}
	}
}

// TestEncode: what decode reads, encode writes so that it is read as the same again.
func TestEncode(t *testing.T) {
	in := `{"b":[1.50,-0,1e400,12345678901234567890,true,false,null,{},[]],"a":"\u0000\b\f\n\r\t\u001f\"\\\/<>&é\u2028\ud83d\ude00\u007f","":{"\"\n":""}}`
	want := `{"":{"\"\n":""},"a":"\u0000\b\f\n\r\t\u001f\"\\/<>&é` + "\u2028\U0001f600\u007f" + `","b":[1.50,-0,1e400,12345678901234567890,true,false,null,{},[]]}`
	v, err := decode([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(v); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, in := range []string{`{"a":1,"a":2}`, `{"a":"` + "\xff" + `"}`, `{} {}`, `{`, ``} {
		if v, err := decode([]byte(in)); err == nil {
			t.Errorf("%q is %v", in, v)
		}
	}
}

// TestFormats: each says how its file is made, and docs/monitoring.md what becomes of it.
func TestFormats(t *testing.T) {
	doc, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Formats() {
		if f.Name == "" || f.Short == "" || f.Long == "" || f.Tool == "" || f.Read == nil || !bytes.Contains(doc, []byte("\n| `"+f.Name+"` | ")) {
			t.Errorf("%+v", f)
		}
	}
}
