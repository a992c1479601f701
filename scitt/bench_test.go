package scitt_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// kib is a payload that makes a statement of about 1 KiB.
var kib = bytes.Repeat([]byte("x"), 750)

func BenchmarkParseStatement(b *testing.B) {
	data := newStatement(b, newKey(b, "ES256"), scitt.SignOptions{}, kib).Entry()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scitt.ParseStatement(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifySignature(b *testing.B) {
	for _, alg := range kinds {
		key := newKey(b, alg)
		s := newStatement(b, key, scitt.SignOptions{}, kib)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.VerifySignature(key.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// million is a proof as long as those of a log of a million entries.
func million() *scitt.InclusionProof {
	p := &scitt.InclusionProof{Size: 1 << 20, Index: 12345}
	for i := range 20 {
		p.Path = append(p.Path, bytes.Repeat([]byte{byte(i)}, 32))
	}
	return p
}

func BenchmarkTreeSignatureReceipt(b *testing.B) {
	tree, err := scitt.SignTree(newKey(b, "ES256"), issuer, origin, time.Unix(0, 0), make([]byte, 32))
	must(b, err)
	p := million()
	b.ReportAllocs()
	for b.Loop() {
		tree.Receipt(p)
	}
}

// receiptAlgorithms are those of Receipts: the first and the second.
var receiptAlgorithms = []string{"ES256", "ML-DSA-44"}

func BenchmarkSignTree(b *testing.B) {
	for _, alg := range receiptAlgorithms {
		key := newKey(b, alg)
		b.Run(alg, func(b *testing.B) {
			for b.Loop() {
				if _, err := scitt.SignTree(key, issuer, origin, time.Unix(0, 0), make([]byte, 32)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReceiptVerify(b *testing.B) {
	for _, alg := range receiptAlgorithms {
		key, p, entry := newKey(b, alg), million(), kib
		root, err := p.Root(scitt.LeafHash(entry))
		must(b, err)
		tree, err := scitt.SignTree(key, issuer, origin, time.Unix(0, 0), root)
		must(b, err)
		data := tree.Receipt(p)
		r, err := scitt.ParseReceipt(data)
		must(b, err)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Verify(key.Public(), entry); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data)), "B/receipt")
		})
	}
}
