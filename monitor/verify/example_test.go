package verify_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// Verify a Transparent Statement offline, with keys of its log that were saved before.
func ExampleVerifier() {
	t := testlog.Example{}
	keys := testlog.NewKeys(t)
	statement := testlog.Must(scitt.ParseStatement(testlog.Statement(t, testlog.Key(t, "ES256"), "host-17", []byte("content"))))(t)
	proof := &scitt.InclusionProof{Size: 2, Index: 0, Path: [][]byte{make([]byte, 32)}}
	root := testlog.Must(proof.Root(scitt.LeafHash(statement.Entry())))(t)
	receipt := testlog.Must(scitt.SignTree(keys.Receipt, testlog.Issuer, testlog.Origin, time.Now(), root))(t).Receipt(proof)

	v := &verify.Verifier{Content: verify.Content{File: "content.txt", Data: []byte("content")}}
	if err := v.Add(verify.Log{Name: "the provider's", Keys: witness.Keys{Named: keys.KeySet(t)}, Saved: true}, nil); err != nil {
		log.Fatal(err)
	}
	r, err := v.Verify(context.Background(), verify.Statement{Data: scitt.AttachReceipts(statement, receipt)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("verified:", r.Verified)
	for _, c := range r.Checks {
		fmt.Println(c.Check+":", c.Result)
	}
	// Output:
	// verified: true
	// signature: ok
	// payload: ok
	// receipt 1: ok
	// log now: not checked
}
