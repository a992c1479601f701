package index

import (
	"bytes"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// FuzzSpecial: whatever a policy or a part of a chain looks like as bytes, the
// index does not overlook it.
func FuzzSpecial(f *testing.F) {
	key := testlog.Key(f, "ES256")
	sign := func(o scitt.SignOptions) []byte {
		o.Subject = "asset"
		return testlog.Must(scitt.SignStatement(key, o, []byte("{}")))(f)
	}
	link := sign(scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c"}})
	f.Add(sign(scitt.SignOptions{Type: scitt.TypePolicy}))
	f.Add(sign(scitt.SignOptions{}))
	f.Add(link)
	// The label with a longer length; the header around it is one byte longer.
	i := bytes.Index(link, []byte("\x65chain"))
	longer := bytes.Replace(link, []byte("\x65chain"), []byte("\x78\x05chain"), 1)
	for at := i - 1; at > 0; at-- { // 0x59 and two bytes of length, before the map
		if longer[at] == 0x59 && longer[at+3]>>5 == 5 {
			longer[at+2]++
		}
	}
	f.Add(longer)
	f.Fuzz(func(t *testing.T, entry []byte) {
		s, err := scitt.DecodeStatement(entry)
		if err != nil {
			return
		}
		x := specialOf(entry)
		if (s.Type == scitt.TypePolicy || s.Type == scitt.TypeKeys) && (x == nil || x.table == "") {
			t.Fatalf("%s is overlooked", s.Type)
		}
		if s.Chain == nil {
			return
		}
		if x == nil || x.chain == nil || *x.chain != (chainKey{s.Issuer, s.Chain.Name}) || x.seq != s.Chain.Seq {
			t.Fatal("a part of a chain is overlooked")
		}
	})
}
