package witness_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// must is for what does not fail in an example.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ExampleQuorum asks for two of three logs, of which one vouches for a statement
// and one is out of reach.
func ExampleQuorum() {
	issuer := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	provider, auditor := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	statement := must(scitt.ParseStatement(must(scitt.SignStatement(issuer, scitt.SignOptions{Subject: "asset", ContentType: "text/plain"}, []byte("content")))))

	// The provider's Receipt: the statement is entry 0 of 2.
	proof := &scitt.InclusionProof{Size: 2, Index: 0, Path: [][]byte{make([]byte, 32)}}
	root := must(proof.Root(scitt.LeafHash(statement.Entry())))
	receipt := must(scitt.SignTree(provider, "https://provider.example", "provider.example", time.Now(), root)).Receipt(proof)

	q := &witness.Quorum{Threshold: 2, Missing: []string{"https://third.example"}}
	q.Add("https://provider.example", witness.Keys{Unnamed: []scitt.Key{must(scitt.NewKey(provider.Public()))}})
	q.Add("https://auditor.example", witness.Keys{Unnamed: []scitt.Key{must(scitt.NewKey(auditor.Public()))}})
	out := must(q.Verify(&scitt.Verifier{}, scitt.AttachReceipts(statement, receipt), [][]byte{receipt}))
	fmt.Println("signature:", out.SignatureErr)
	fmt.Printf("%d of %d logs vouch for it: %s\n", len(q.Vouching()), q.Size(), q.Vouching()[0].Names)
	fmt.Println("decided:", q.Outcome() != witness.Undecided)
	// Output:
	// signature: <nil>
	// 1 of 3 logs vouch for it: [https://provider.example]
	// decided: false
}
