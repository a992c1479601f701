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

// split lists the values and problems that a splitter finds: "offset:value", "offset!reason", "error reason".
func split(s *splitter) (out []string) {
	for {
		raw, at, err := s.next()
		if p := (*Problem)(nil); errors.As(err, &p) {
			out = append(out, fmt.Sprintf("%d!%s", p.Position.Offset, p.Reason))
		} else if err == io.EOF {
			return out
		} else if err != nil {
			return append(out, "error "+strings.TrimPrefix(err.Error(), "importer: "))
		} else {
			out = append(out, fmt.Sprintf("%d:%s", at.Offset, raw))
		}
	}
}

func TestSplit(t *testing.T) {
	const (
		cut  = "does not end before the next line that begins with an object"
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

		{"not JSON but balanced", `[{"a":},{"b" 1},{}]`, []string{`1:{"a":}`, `8:{"b" 1}`, `16:{}`}},
		{"cut line", "{\"a\":{\"b\":1,\n{\"c\":2}\n{\"d\":3}", []string{"0!" + cut, `13:{"c":2}`, `21:{"d":3}`}},
		{"line cut in a string", "{\"a\":\"b\n{\"c\":2}\n", []string{"0!a string does not end in its line", `8:{"c":2}`}},
		{"too deep", "{\"a\":" + strings.Repeat("[", 64) + "\n{}", []string{"0!nested deeper than 64 levels", "70:{}"}},
		{"text", "hello\n{}\nyou\n[1]", []string{"0!not a JSON object or array", "6:{}", "9!not a JSON object or array", "14:1"}},
		{"only text", "hello", []string{"0!not a JSON object or array"}},
		{"large line", "{}\n" + long + long + "\n{}", []string{"0:{}", "3!larger than 44 bytes", "100:{}"}},
		{"large element", "[{}," + long + ",1]", []string{"1:{}", "4!larger than 44 bytes", "53:1"}},
		{"large after a container", `{"items":[1],"a":` + long + `}{}`, []string{"10:1", "66:{}"}},

		{"ends in a line", "{\"a\":1}\n{\"b\":", []string{`0:{"a":1}`, "error line 2, byte 8: the input ends inside this item" + form}},
		{"ends in an element", `[{"a":1},{"b":`, []string{`1:{"a":1}`, "error line 1, byte 9: the input ends inside this item" + form}},
		{"ends in an array", `[{"a":1},`, []string{`1:{"a":1}`, "error line 1, byte 9: the input ends inside an array or object of items" + form}},
		{"ends after a container", `{"items":[1]`, []string{"10:1", "error line 1, byte 12: the input ends inside an array or object of items" + form}},
		{"ends in a number", `[1`, []string{"error line 1, byte 1: the input ends inside this item" + form}},
		{"wrong bracket", `[1,}`, []string{"1:1", "error line 1, byte 3: a bracket closes that nothing opened" + form}},
		{"element cut in a string", "[1,{\"a\":\"b\n},2]", []string{"1:1", "error line 1, byte 3: a string does not end in its line" + form}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)), iotest.DataErrReader(strings.NewReader(tt.in))} {
				got := split(newSplitter(r, 44, []string{"items"}))
				if tt.name == "too deep" {
					got = split(newSplitter(strings.NewReader(tt.in), 128, nil))
				}
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
	r := run(t, AWSConfig, io.MultiReader(bytes.NewReader(jsonLines(awsSamples(2))), strings.NewReader(`{"a":`), iotest.ErrReader(broken)), Options{})
	if len(r.items) != 4 || !errors.Is(r.err, broken) || errors.Is(r.err, ErrInput) {
		t.Errorf("%d items, %v", len(r.items), r.err)
	}
	r = run(t, AWSConfig, strings.NewReader("\x1f\x8bxx"), Options{})
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
		"many items": io.MultiReader(strings.NewReader(`{"configurationItems":[`), &endless{text: sample + ",", n: 15_000}, strings.NewReader("]}")),
		"one item":   io.MultiReader(strings.NewReader(`{"configurationItems":[{"a":"`), &endless{text: strings.Repeat("x", 1000), n: 25_000}, strings.NewReader(`"}]}`)),
		"one line":   &endless{text: strings.Repeat("x", 1000), n: 25_000},
		"one string": io.MultiReader(strings.NewReader(`{"a":"`), &endless{text: strings.Repeat("x", 1000), n: 25_000}),
	} {
		t.Run(name, func(t *testing.T) {
			runtime.GC()
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			s, n, peak := newSplitter(in, 1<<18, []string{"configurationItems"}), 0, uint64(0)
			for {
				_, _, err := s.next()
				if err == io.EOF {
					break
				}
				if p := (*Problem)(nil); err != nil && !errors.As(err, &p) {
					t.Fatal(err)
				}
				if n++; n%1000 == 1 {
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
