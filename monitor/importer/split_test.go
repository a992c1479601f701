package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// split lists what input is divided into: "offset:value", "offset!reason", "error reason".
func split(r io.Reader, max int, containers ...string) (out []string) {
	for raw, err := range items(r, Options{maxItem: max}, layout{containers: containers}, nil) {
		if p, ok := errors.AsType[*Problem](err); ok {
			out = append(out, fmt.Sprintf("%d!%s", p.Position.Offset, p.Reason))
		} else if err != nil {
			out = append(out, "error "+strings.TrimPrefix(err.Error(), "importer: "))
		} else {
			out = append(out, fmt.Sprintf("%d:%s", raw.Position.Offset, raw.JSON))
		}
	}
	return out
}

func TestSplit(t *testing.T) {
	const (
		ends = "the text ends inside a value"
		form = ": input cannot be divided into items"
	)
	long := `{"a":"` + strings.Repeat("x", 40) + `"}`
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", " \n", nil},
		{"lines", "{\"a\":1}\n\n{\"b\":\"}{\"}\n", []string{`0:{"a":1}`, `9:{"b":"}{"}`}},
		{"no line ends", `{"a":1}{"b":2}`, []string{`0:{"a":1}`, `7:{"b":2}`}},
		{"array", ` [{"a":[1,"]"]}, 1,"x\"," ,null,[{}]] `, []string{`2:{"a":[1,"]"]}`, `17:1`, `19:"x\","`, `27:null`, `32:[{}]`}},
		{"arrays", "[1]\n[2]", []string{"1:1", "5:2"}},
		{"container", `{"a":{"items":[0]},"n":"items","items":[{"b":1},{}],"items":[3],"z":[{}]}{"c":1}`,
			[]string{`40:{"b":1}`, `48:{}`, `61:3`, `73:{"c":1}`}},
		{"container's name as text", `{"a":"items","b":[1]}`, []string{`0:{"a":"items","b":[1]}`}},
		{"container of another type", `{"items":{"a":[1]}}`, []string{`0:{"items":{"a":[1]}}`}},

		{"scalars", "1 \"a\"\n{}", []string{"0:1", `2:"a"`, "6:{}"}},
		{"what an item's own reader refuses", "{\"a\":1,\"a\":\"\xff\"}", []string{"0:{\"a\":1,\"a\":\"\xff\"}"}},

		{"not JSON in an array", `[1,{"a":},{}]`, []string{"1:1", "error line 1, byte 3: invalid character '}' after array element (expecting ',' or ']')" + form}},
		{"no comma in an array", `[{}{}]`, []string{"1:{}", "error line 1, byte 3: invalid character '{' after array element (expecting ',' or ']')" + form}},
		{"not JSON in a line", "{\"a\":}\n{\"b\" 1}\n{}", []string{"0!invalid character '}' at start of value", `7!invalid character '1' after object name (expecting ':')`, "15:{}"}},
		{"cut line", "{\"a\":{\"b\":1,\n{\"c\":2}\n{\"d\":3}", []string{"0!invalid character '{' at start of string (expecting '\"')", `13:{"c":2}`, `21:{"d":3}`}},
		{"cut line that could go on", "{\"a\":[\n{\"c\":2}", []string{"0!" + ends, `7:{"c":2}`}},
		{"line cut in a string", "{\"a\":\"b\n{\"c\":2}\n", []string{"0!invalid character '\\n' in string (expecting non-control character)", `8:{"c":2}`}},
		{"text", "hello\n{}\nyou\n[1]", []string{"0!invalid character 'h' at start of value", "6:{}", "9!invalid character 'y' at start of value", "14:1"}},
		{"only text", "hello", []string{"0!invalid character 'h' at start of value"}},
		{"large lines", "{}\n" + long + long + "\n{}", []string{"0:{}", "3!larger than 44 bytes", "51!larger than 44 bytes", "100:{}"}},
		{"large string", "{\"a\":\"" + strings.Repeat("x", 9000) + "\"}\n{}", []string{"0!larger than 44 bytes", "9009:{}"}},
		{"large string in an array", "[1,\"" + strings.Repeat("x", 9000) + "\"]\n{}", []string{"1:1", "error line 1, byte 3: larger than 44 bytes" + form}},
		{"container that begins late", `{"a":"` + strings.Repeat("x", 9000) + `","items":[1]}` + "\n{}", []string{"0!larger than 44 bytes", "9021:{}"}},
		{"large element", "[{}," + long + ",1]", []string{"1:{}", "4!larger than 44 bytes", "53:1"}},
		{"large after a container", `{"items":[1],"a":` + long + `}{}`, []string{"10:1", "66:{}"}},

		{"ends in a line", "{\"a\":1}\n{\"b\":", []string{`0:{"a":1}`, "error line 2, byte 8: " + ends + form}},
		{"ends in an element", `[{"a":1},{"b":`, []string{`1:{"a":1}`, "error line 1, byte 9: " + ends + form}},
		{"ends in an array", `[{"a":1},`, []string{`1:{"a":1}`, "error line 1, byte 9: " + ends + form}},
		{"ends after a container", `{"items":[1]`, []string{"10:1", "error line 1, byte 12: " + ends + form}},
		{"ends in a number", `[1`, []string{"1:1", "error line 1, byte 2: " + ends + form}},
		{"wrong bracket", `[1,}`, []string{"1:1", "error line 1, byte 3: invalid character ',' at start of value" + form}},
		{"element cut in a string", "[1,{\"a\":\"b\n},2]", []string{"1:1", "error line 1, byte 3: invalid character '\\n' in string (expecting non-control character)" + form}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)), iotest.DataErrReader(strings.NewReader(tt.in))} {
				got := split(r, 44, "items")
				if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
					t.Errorf("reader %d:\ngot  %q\nwant %q", i, got, tt.want)
				}
			}
		})
	}
}

// TestReaderError: what came before an error of the reader is delivered, then the error itself.
func TestReaderError(t *testing.T) {
	broken := errors.New("broken")
	r := run(t, readAWS, io.MultiReader(bytes.NewReader(jsonLines(awsSamples(2))), strings.NewReader(`{"a":`), iotest.ErrReader(broken)), Options{})
	if len(r.items) != 4 || !errors.Is(r.err, broken) || errors.Is(r.err, ErrInput) {
		t.Errorf("%d items, %v", len(r.items), r.err)
	}
	r = run(t, readAWS, strings.NewReader("\x1f\x8bxx"), Options{})
	if r.err == nil {
		t.Error("no gzip, no error")
	}
}

// endless repeats a text n times.
type endless struct {
	text string
	n    int
	rest string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.rest == "" {
		if e.n == 0 {
			return 0, io.EOF
		}
		e.n--
		e.rest = e.text
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// TestMemory: the memory in use depends on the largest item and not on the input, also where one item is the input.
func TestMemory(t *testing.T) {
	sample := string(mustJSON(awsSample(0, "OK")))
	for name, in := range map[string]io.Reader{
		"many items": io.MultiReader(strings.NewReader(`{"configurationItems":[`), &endless{text: sample + ",", n: 15_000}, strings.NewReader("{}]}")),
		"one item":   io.MultiReader(strings.NewReader(`{"configurationItems":[{"a":[`), &endless{text: strings.Repeat("1,", 500), n: 25_000}, strings.NewReader(`1]}]}`)),
		"no item":    &endless{text: strings.Repeat(" ", 1000), n: 25_000},
		"one line":   &endless{text: strings.Repeat("x", 1000), n: 25_000},
		"one string": io.MultiReader(strings.NewReader(`{"a":"`), &endless{text: strings.Repeat("x", 1000), n: 25_000}),
	} {
		t.Run(name, func(t *testing.T) {
			runtime.GC()
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			n, peak := 0, uint64(0)
			for _, err := range items(in, Options{maxItem: 1 << 18}, layout{containers: []string{"configurationItems"}}, nil) {
				if p := (*Problem)(nil); err != nil && !errors.As(err, &p) {
					t.Fatal(err)
				}
				if n++; n%1000 == 1 {
					runtime.GC() // of what is in use, and not of when the collector runs
					runtime.ReadMemStats(&now)
					peak = max(peak, now.HeapAlloc)
				}
			}
			if n == 0 || peak > before.HeapAlloc+6<<20 {
				t.Errorf("%d items, %d MiB more than before", n, (peak-before.HeapAlloc)>>20)
			}
		})
	}
}
