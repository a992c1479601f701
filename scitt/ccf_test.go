package scitt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
)

// ledgerReceipt is the Receipt of one of n statements in a CCF ledger, changed.
func ledgerReceipt(t testing.TB, n, index int, change func(*vectors.LedgerReceipt)) (*scitt.Statement, []byte, scitt.KeySet) {
	t.Helper()
	key := newKey(t, "ES384")
	var entries [][]byte
	var statement *scitt.Statement
	for i := range n {
		data, err := scitt.SignStatement(newKey(t, "ES256"), scitt.SignOptions{Subject: "asset"}, []byte{byte(i)})
		must(t, err)
		s, err := scitt.ParseStatement(data)
		must(t, err)
		if i == index {
			statement = s
		}
		entries = append(entries, s.Entry())
	}
	r, err := vectors.NewLedgerReceipt(key, "ccf.example", entries, index)
	must(t, err)
	if change != nil {
		change(r)
	}
	receipt, err := r.Encode(key)
	must(t, err)
	public, err := scitt.NewKey(key.Public())
	must(t, err)
	return statement, receipt, scitt.KeySet{public}
}

// TestLedgerReceipts: the Receipts of ledgers of each size up to 9 verify, and
// do not say where the entry is.
func TestLedgerReceipts(t *testing.T) {
	for n := 2; n < 10; n++ {
		for index := range n {
			s, receipt, keys := ledgerReceipt(t, n, index, nil)
			out, err := (&scitt.Verifier{LogKeys: keys}).Verify(scitt.AttachReceipts(s, receipt))
			must(t, err)
			if err := out.Err(); err != nil {
				t.Errorf("%d of %d: %v", index, n, err)
			}
			r := out.Receipts[0]
			if _, _, ok := r.Receipt.Place(); ok || r.Leaf != scitt.LeafEntry || r.Receipt.Issuer != "ccf.example" || len(r.Receipt.Ledger) != 1 {
				t.Errorf("%d of %d: %+v", index, n, r)
			}
		}
	}
}

// TestLedgerReceiptsWrong has every field wrong once.
func TestLedgerReceiptsWrong(t *testing.T) {
	flip := func(b any) []byte {
		out := []byte(string(b.([]byte)))
		out[0] ^= 1
		return out
	}
	short := make([]byte, 31)
	for name, c := range map[string]struct {
		change func(*vectors.LedgerReceipt)
		want   error
	}{
		"another transaction":           {func(r *vectors.LedgerReceipt) { r.Leaf[0] = flip(r.Leaf[0]) }, scitt.ErrSignature},
		"another evidence":              {func(r *vectors.LedgerReceipt) { r.Leaf[1] = "ce:2.1:other" }, scitt.ErrSignature},
		"another statement":             {func(r *vectors.LedgerReceipt) { r.Leaf[2] = flip(r.Leaf[2]) }, scitt.ErrProof},
		"another hash":                  {func(r *vectors.LedgerReceipt) { r.Path[1].([]any)[1] = flip(r.Path[1].([]any)[1]) }, scitt.ErrSignature},
		"another side":                  {func(r *vectors.LedgerReceipt) { r.Path[1].([]any)[0] = !r.Path[1].([]any)[0].(bool) }, scitt.ErrSignature},
		"a path that is too short":      {func(r *vectors.LedgerReceipt) { r.Path = r.Path[:2] }, scitt.ErrSignature},
		"another root":                  {func(r *vectors.LedgerReceipt) { r.Root = flip(r.Root) }, scitt.ErrSignature},
		"no path":                       {func(r *vectors.LedgerReceipt) { r.Path = []any{} }, scitt.ErrMalformed},
		"a transaction that is no hash": {func(r *vectors.LedgerReceipt) { r.Leaf[0] = short }, scitt.ErrMalformed},
		"a transaction that is text":    {func(r *vectors.LedgerReceipt) { r.Leaf[0] = "text" }, scitt.ErrMalformed},
		"no evidence":                   {func(r *vectors.LedgerReceipt) { r.Leaf[1] = "" }, scitt.ErrMalformed},
		"evidence in bytes":             {func(r *vectors.LedgerReceipt) { r.Leaf[1] = []byte("ce:2.1:x") }, scitt.ErrMalformed},
		"evidence that is too long":     {func(r *vectors.LedgerReceipt) { r.Leaf[1] = strings.Repeat("x", 1025) }, scitt.ErrMalformed},
		"a statement that is no hash":   {func(r *vectors.LedgerReceipt) { r.Leaf[2] = short }, scitt.ErrMalformed},
		"a leaf of two":                 {func(r *vectors.LedgerReceipt) { r.Leaf = r.Leaf[:2] }, scitt.ErrMalformed},
		"a leaf of four":                {func(r *vectors.LedgerReceipt) { r.Leaf = append(r.Leaf, 1) }, scitt.ErrMalformed},
		"a side that is a number":       {func(r *vectors.LedgerReceipt) { r.Path[0] = []any{1, r.Root} }, scitt.ErrMalformed},
		"a hash that is none":           {func(r *vectors.LedgerReceipt) { r.Path[0] = []any{true, short} }, scitt.ErrMalformed},
		"a node of three":               {func(r *vectors.LedgerReceipt) { r.Path[0] = []any{true, r.Root, 1} }, scitt.ErrMalformed},
		"a node that is no array":       {func(r *vectors.LedgerReceipt) { r.Path[0] = r.Root }, scitt.ErrMalformed},
		"another data structure":        {func(r *vectors.LedgerReceipt) { r.Protected[int64(395)] = int64(1) }, scitt.ErrMalformed},
		"an unknown data structure":     {func(r *vectors.LedgerReceipt) { r.Protected[int64(395)] = int64(3) }, scitt.ErrMalformed},
		"a data structure in text":      {func(r *vectors.LedgerReceipt) { r.Protected[int64(395)] = "ccf" }, scitt.ErrMalformed},
		"no data structure":             {func(r *vectors.LedgerReceipt) { delete(r.Protected, int64(395)) }, scitt.ErrMalformed},
		"no algorithm":                  {func(r *vectors.LedgerReceipt) { delete(r.Protected, int64(1)) }, scitt.ErrMalformed},
		"another algorithm":             {func(r *vectors.LedgerReceipt) { r.Protected[int64(1)] = int64(-7) }, scitt.ErrSignature},
		"another key":                   {func(r *vectors.LedgerReceipt) { r.Protected[int64(4)] = []byte("other") }, scitt.ErrUnknownKey},
		"critical and unknown":          {func(r *vectors.LedgerReceipt) { r.Protected[int64(2)] = []any{"ccf.v1"} }, scitt.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			s, receipt, keys := ledgerReceipt(t, 7, 2, c.change)
			out, err := (&scitt.Verifier{LogKeys: keys}).Verify(scitt.AttachReceipts(s, receipt))
			must(t, err)
			if err := out.Receipts[0].Err; !errors.Is(err, c.want) || out.Err() == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := scitt.ParseTreeSignature([]byte{0xd2, 0x84, 0x47, 0xa2, 0x01, 0x26, 0x19, 0x01, 0x8b, 0x02, 0xa0, 0xf6, 0x40}); !errors.Is(err, scitt.ErrMalformed) {
		t.Errorf("a tree signature of a ledger: %v", err)
	}
}
