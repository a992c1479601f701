package jsonx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzStream: a value is what stands at its place, no longer than allowed, and JSON; what there is does not depend on
// how the input arrives; a line of its own is found behind whatever stands before it, unless that ends the input.
func FuzzStream(f *testing.F) {
	for _, s := range append(texts, "{\"a\":1}\n{\"b\":\n[1]\n{}", `{"x":1,"items":[1,{"a":2}],"items":[[3]],"y":{}} 2`, `[{"a":},{}]`, `[1,"`+strings.Repeat("x", 300)+`"]`,
		"{\"a\":["+strings.Repeat("1,\n", 200)+"1]}\n{}", "{\"a\":\""+strings.Repeat("x", 5000)+"\n[{}]") {
		f.Add([]byte(s), 100)
	}
	f.Fuzz(func(t *testing.T, in []byte, max int) {
		if max < 1 || max > 1<<16 {
			return
		}
		read := func(r io.Reader) (out string, end error) {
			s := NewStream(r, max, "items")
			for {
				value, at, err := s.Next()
				if at.Offset < 0 || at.Offset > int64(len(in)) || at.Line != 1+int64(bytes.Count(in[:at.Offset], []byte("\n"))) {
					t.Fatalf("%+v of %q", at, in)
				}
				_, broken := errors.AsType[*Error](err)
				switch {
				case broken:
					out += fmt.Sprintf("%d is broken\n", at.Offset) // jsontext's words depend on what is read ahead
				case err != nil:
					return out, err
				case !bytes.HasPrefix(in[at.Offset:], value) || len(value) > max:
					t.Fatalf("%q at %+v", value, at)
				default:
					if _, err := ParseLoose(value); err != nil && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "surrogate") &&
						!strings.Contains(err.Error(), "nested deeper") {
						t.Fatalf("%q: %v", value, err)
					}
					out += fmt.Sprintf("%d: %s\n", at.Offset, value)
				}
			}
		}
		out, end := read(bytes.NewReader(in))
		if end != io.EOF && !errors.Is(end, ErrStream) {
			t.Fatal(end)
		}
		if len(in) > max {
			return // what is too large in part depends on what is read ahead
		}
		if again, err := read(iotest.OneByteReader(bytes.NewReader(in))); again != out || (err == io.EOF) != (end == io.EOF) {
			t.Fatalf("%q:\n%s%v, byte by byte\n%s%v", in, out, end, again, err)
		}
		before := in
		in = append(bytes.Clone(in), "\n{\"x\":1}"...)
		max += 8
		if out, err := read(bytes.NewReader(in)); err == io.EOF && !strings.HasSuffix(out, fmt.Sprintf("%d: {\"x\":1}\n", len(before)+1)) {
			t.Fatalf("%q: the line behind it is lost:\n%s", before, out)
		}
	})
}
