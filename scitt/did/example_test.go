package did_test

import (
	"crypto/ed25519"
	"fmt"
	"log"

	"github.com/conmotion/conmotion/scitt/did"
)

// A did:jwk is an issuer that carries its own key.
func ExampleKey() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // a real one comes from scitt.GenerateKey
	issuer, err := did.NewJWK(key.Public())
	if err != nil {
		log.Fatal(err)
	}
	carried, err := did.Key(issuer)
	if err != nil {
		log.Fatal(err) // did:x509 and URLs carry no key
	}
	fmt.Println(issuer[:24], did.Method(issuer), key.Public().(ed25519.PublicKey).Equal(carried.Public))
	// Output: did:jwk:eyJrdHkiOiJPS1Ai did:jwk true
}
