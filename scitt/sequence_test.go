package scitt_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

func TestSplitSequence(t *testing.T) {
	problem := (&scitt.Problem{Status: 503, Title: "Log Busy", Detail: "d"}).MarshalItem()
	for name, c := range map[string]struct {
		data  []byte
		items int
		bad   bool
	}{
		"empty":                {nil, 0, false},
		"one":                  {[]byte{0xd2, 0x80}, 1, false},
		"three of many kinds":  {append([]byte{0x01, 0x61, 'x'}, problem...), 3, false},
		"cut off":              {append([]byte{0x01}, problem[:len(problem)-1]...), 1, true},
		"nothing well-formed":  {[]byte{0xff}, 0, true},
		"an indefinite length": {[]byte{0x01, 0x9f, 0xff}, 1, true},
		"a length of exabytes": {[]byte{0x01, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1, true},
		"one too many":         {bytes.Repeat([]byte{0x01}, scitt.MaxSequence+2), scitt.MaxSequence + 1, true},
		"nested without end":   {append([]byte{0x01}, bytes.Repeat([]byte{0x81}, 100)...), 1, true},
	} {
		items, err := scitt.SplitSequence(c.data)
		if len(items) != c.items || (err != nil) != c.bad || err != nil && !errors.Is(err, scitt.ErrMalformed) {
			t.Errorf("%s: %d items, %v", name, len(items), err)
		}
	}
}

// FuzzSplitSequence: items joined are the data, or the beginning of it where
// the error says so; each item is one item.
func FuzzSplitSequence(f *testing.F) {
	f.Add([]byte{0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40, 0xa1, 0x20, 0x61, 'x'})
	f.Add([]byte{0x01, 0x02, 0xff})
	f.Add([]byte{0xa2, 0x01, 0x02, 0x01, 0x03})
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0x23}, scitt.MaxSequence+2))
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := scitt.SplitSequence(data)
		joined := slices.Concat(items...)
		if !bytes.HasPrefix(data, joined) || (err == nil) != (len(joined) == len(data)) {
			t.Fatalf("%x became %x, %v", data, joined, err)
		}
		for _, item := range items {
			one, err := scitt.SplitSequence(item)
			if err != nil || len(one) != 1 || !bytes.Equal(one[0], item) {
				t.Fatalf("item %x: %x, %v", item, one, err)
			}
			if p, err := scitt.ParseProblemItem(item); err == nil {
				again, err := scitt.ParseProblemItem(p.MarshalItem())
				if err != nil || *again != *p {
					t.Fatalf("problem %+v became %+v, %v", p, again, err)
				}
			}
		}
	})
}
