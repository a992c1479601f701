package scitt_test

import (
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// TestValidity: exp and nbf of a statement and of its Receipt (RFC 8392 sections
// 3.1.4 and 3.1.5). At exp it has expired, and at nbf it is valid.
func TestValidity(t *testing.T) {
	key, logKey := newKey(t, "ES256"), newKey(t, "ES256")
	keys := scitt.KeySet{newKeyID(t, logKey)}
	iss, err := did.NewJWK(key.Public())
	must(t, err)
	data := func(statement, receipt m, also ...[]byte) []byte {
		h := m{1: -7, 4: newKeyID(t, key).ID, 15: with(m{1: iss, 2: "subject"}, statement)}
		s, err := scitt.DecodeStatement(signed(t, "ES256", key, sign1{protected: h, payload: []byte("x")}, []byte("x")).encode(t))
		must(t, err)
		r := newForeignReceipt(t, logKey, 4, 2)
		r.protected = with(r.protected.(m), m{15: with(m{1: issuer, 2: origin}, receipt)})
		r.leaves[2] = s.Entry()
		receipts := [][]byte{r.encode(t)}
		if len(also) > 0 {
			receipts = append(receipts, receiptFor(t, logKey, s.Entry()))
		}
		return scitt.AttachReceipts(s, receipts...)
	}
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	huge := raw(unhex(t, "1bffffffffffffffff"))
	for name, c := range map[string]struct {
		statement, receipt m
		at                 time.Time
		want               string // why it is not good; "" when it is
	}{
		"no bounds":                   {nil, nil, at(5), ""},
		"no bounds, no time":          {nil, nil, time.Time{}, ""},
		"statement before exp":        {m{4: 10}, nil, at(9), ""},
		"statement at exp":            {m{4: 10}, nil, at(10), "statement: not valid at this time, 1970-01-01T00:00:10Z: it expired at 1970-01-01T00:00:10Z (exp)"},
		"statement after exp":         {m{4: 10}, nil, at(11), "statement: not valid"},
		"statement, fraction of exp":  {m{4: 10.5}, nil, at(10), ""},
		"statement past that":         {m{4: 10.5}, nil, at(11), "statement: not valid"},
		"statement before nbf":        {m{5: 10}, nil, at(9), "statement: not valid at this time, 1970-01-01T00:00:09Z: it is not valid before 1970-01-01T00:00:10Z (nbf)"},
		"statement at nbf":            {m{5: 10}, nil, at(10), ""},
		"statement, fraction of nbf":  {m{5: 9.5}, nil, at(9), "statement: not valid"},
		"statement with a tagged exp": {m{4: cbor.Tag{Number: 1, Content: 10}}, nil, at(10), "statement: not valid"},
		"statement that never ends":   {m{4: huge}, nil, at(1 << 40), ""},
		"statement that never begins": {m{5: huge}, nil, at(1 << 40), "statement: not valid"},
		"statement of the year 1":     {m{4: time.Time{}.Unix()}, nil, at(5), "statement: not valid"},
		"statement with both":         {m{4: 10, 5: 5}, nil, at(7), ""},
		"statement, no time":          {m{4: 10}, nil, time.Time{}, ""},
		"receipt before exp":          {nil, m{4: 10}, at(9), ""},
		"receipt at exp":              {nil, m{4: 10}, at(10), "receipt 1: not valid at this time"},
		"receipt before nbf":          {nil, m{5: 10}, at(9), "receipt 1: not valid at this time"},
		"receipt at nbf":              {nil, m{5: 10}, at(10), ""},
		"receipt, no time":            {nil, m{4: 10}, time.Time{}, "there is no time at which to judge them"},
		"receipt of the year 1":       {nil, m{4: time.Time{}.Unix()}, at(5), "receipt 1: not valid"},
		"receipt, tagged":             {nil, m{4: cbor.Tag{Number: 1, Content: 10}, 6: cbor.Tag{Number: 1, Content: 5}}, at(10), "receipt 1: not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := (&scitt.Verifier{LogKeys: keys, At: c.at}).Verify(data(c.statement, c.receipt))
			must(t, err)
			must(t, v.SignatureErr)
			if c.want == "" {
				must(t, v.Err())
				return
			}
			wantError(t, v.Err(), scitt.ErrTime, c.want)
		})
	}
	// A Receipt that expired says nothing against another one.
	v, err := (&scitt.Verifier{LogKeys: keys, At: at(10)}).Verify(data(nil, m{4: 10}, nil))
	must(t, err)
	must(t, v.Err())
	wantError(t, v.Receipts[0].Err, scitt.ErrTime, "it expired")
}

// TestTaggedDates: a date with a tag is read. Only registration refuses it
// (TestHeaderRules).
func TestTaggedDates(t *testing.T) {
	s := good()
	s.protected = with(goodHeader(), m{15: m{1: "https://issuer.example", 2: "subject", 6: cbor.Tag{Number: 1, Content: 1_700_000_000}}})
	got, err := scitt.DecodeStatement(s.encode(t))
	must(t, err)
	if got.IssuedAt != 1_700_000_000 {
		t.Errorf("issued at %d", got.IssuedAt)
	}
}
