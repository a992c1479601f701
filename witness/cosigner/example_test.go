package cosigner_test

import (
	"fmt"
	"strings"

	"github.com/conmotion/conmotion/witness/cosigner"
)

// ExampleParseList reads a list in the format of the witness network.
func ExampleParseList() {
	list, err := cosigner.ParseList(strings.NewReader(`logs/v0

# Somebody's log
vkey example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
qpd 86400
contact https://example.com/contact
`), func(err error) error { return err })
	if err != nil {
		fmt.Println(err)
		return
	}
	l := list["example.com/foo"]
	fmt.Println(l.PerDay, "checkpoints a day of", l.Origin)
	fmt.Println("at", "/"+cosigner.HashOf(l.Origin)[:8]+".../checkpoint")
	// Output:
	// 86400 checkpoints a day of example.com/foo
	// at /76f699fa.../checkpoint
}
