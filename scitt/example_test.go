package scitt_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// exampleKey is a key that is the same each time. A real one comes from
// GenerateKey.
func exampleKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func ExampleSignStatement() {
	key := exampleKey("issuer")
	data, err := scitt.SignStatement(key, scitt.SignOptions{
		Subject:     "urn:example:host-17",
		ContentType: "application/json",
	}, []byte(`{"state":"running"}`))
	if err != nil {
		fmt.Println(err)
		return
	}

	s, err := scitt.ParseStatement(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	by, err := scitt.SelfCertifying(nil, nil).Verify(s, scitt.Known{})
	fmt.Println("signature:", err, "with the key in the", by.Source)
	fmt.Println("subject:", s.Subject)
	fmt.Println("payload:", string(s.Payload))
	fmt.Println("entry:", s.ID())
	// Output:
	// signature: <nil> with the key in the did:jwk
	// subject: urn:example:host-17
	// payload: {"state":"running"}
	// entry: e7d8347d5379a2ee2f8b55e19751a3f18d14d809f8ae195178cc299e06bce78e
}

// A Receipt is put together from a log's checkpoint and the Merkle path of
// the entry, both of which are static files.
func ExampleCheckpoint_Receipt() {
	// The log: two entries, and a checkpoint signed with its two keys.
	const origin = "log.example/1"
	noteSigner, noteKey := exampleNoteKey(origin)
	now := func() time.Time { return time.Unix(1_700_000_000, 0) }
	treeSigner, err := scitt.NewTreeSigner(exampleKey("log"), "https://log.example", origin, now, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	first, second := []byte("first entry"), []byte("second entry")
	root, _ := (&scitt.InclusionProof{Size: 2, Index: 1, Path: [][]byte{scitt.LeafHash(first)}}).Root(scitt.LeafHash(second))
	text := origin + "\n2\n" + base64.StdEncoding.EncodeToString(root) + "\n"
	published, err := note.Sign(&note.Note{Text: text}, noteSigner, treeSigner)
	if err != nil {
		fmt.Println(err)
		return
	}

	// A reader, who knows the log's verifier keys and nothing else.
	treeKey, _ := scitt.TreeVKey(origin, exampleKey("log").Public())
	verifiers, err := scitt.NewCheckpointVerifiers([]string{noteKey, treeKey})
	if err != nil {
		fmt.Println(err)
		return
	}
	checkpoint, err := verifiers.Open(published)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := checkpoint.Receipt(&scitt.InclusionProof{Size: checkpoint.Size, Index: 1, Path: [][]byte{scitt.LeafHash(first)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := scitt.ParseReceipt(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("size:", checkpoint.Size)
	fmt.Println("receipt by:", receipt.Issuer)
	fmt.Println("second entry:", receipt.Verify(exampleKey("log").Public(), second))
	fmt.Println("another:", receipt.Verify(exampleKey("log").Public(), []byte("third entry")))
	// Output:
	// size: 2
	// receipt by: https://log.example
	// second entry: <nil>
	// another: the signature does not verify
}

// A Relying Party with a Transparent Statement and the log's key needs no
// network.
func ExampleVerifier() {
	transparent, logKeys := exampleTransparentStatement()

	verifier := scitt.Verifier{LogKeys: logKeys}
	v, err := verifier.Verify(transparent)
	if err != nil {
		fmt.Println(err) // not a statement at all
		return
	}
	fmt.Println("verified:", v.Err() == nil)
	fmt.Println("issuer's key from:", v.KeySource)
	for _, r := range v.Receipts {
		fmt.Printf("in the log %s as entry %d\n", r.Receipt.Subject, r.Receipt.Proofs[0].Index)
	}

	v, err = verifier.Verify([]byte(strings.Replace(string(transparent), "running", "stopped", 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Err())
	// Output:
	// verified: true
	// issuer's key from: did:jwk
	// in the log log.example/1 as entry 1
	// statement: the signature does not verify
}

func exampleNoteKey(origin string) (note.Signer, string) {
	zeros := strings.NewReader(strings.Repeat("\x00", 32))
	skey, vkey, err := note.GenerateKey(zeros, origin)
	if err != nil {
		panic(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		panic(err)
	}
	return signer, vkey
}

func exampleTransparentStatement() ([]byte, scitt.KeySet) {
	data, err := scitt.SignStatement(exampleKey("issuer"), scitt.SignOptions{Subject: "urn:example:host-17"}, []byte(`{"state":"running"}`))
	if err != nil {
		panic(err)
	}
	s, err := scitt.ParseStatement(data)
	if err != nil {
		panic(err)
	}
	proof := scitt.InclusionProof{Size: 2, Index: 1, Path: [][]byte{scitt.LeafHash([]byte("first entry"))}}
	root, err := proof.Root(scitt.LeafHash(s.Entry()))
	if err != nil {
		panic(err)
	}
	tree, err := scitt.SignTree(exampleKey("log"), "https://log.example", "log.example/1", time.Unix(1_700_000_000, 0), root)
	if err != nil {
		panic(err)
	}
	key, err := scitt.NewKey(exampleKey("log").Public())
	if err != nil {
		panic(err)
	}
	return scitt.AttachReceipts(s, tree.Receipt(&proof)), scitt.KeySet{key}
}
