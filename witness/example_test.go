package witness_test

import (
	"fmt"
	"strings"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// vouched tells whether two of these logs vouch for a Transparent Statement.
func vouched(keys map[string]scitt.KeySet, outOfReach []string, transparent []byte) (string, error) {
	st, err := scitt.DecodeStatement(transparent)
	if err != nil {
		return "", err
	}
	q := &witness.Quorum{Threshold: 2, Missing: outOfReach}
	for name, set := range keys {
		q.Add(name, witness.Keys{Named: set})
	}
	out, err := q.Verify(&scitt.Verifier{}, transparent, st.Receipts)
	if err != nil {
		return "", err
	}
	if err := out.Err(); err != nil {
		return "", err // the signature, or a Receipt by a key that is known
	}
	switch q.Outcome() {
	case witness.Reached:
		return fmt.Sprintf("%d of %d logs vouch for it", len(q.Vouching()), q.Size()), nil
	case witness.Undecided:
		return "cannot be said without " + strings.Join(q.Missing, ", "), nil
	}
	return "too few logs vouch for it", nil
}

// ExampleQuorum counts the logs that vouch for a statement: here none can, as
// the bytes are no statement.
func ExampleQuorum() {
	_, err := vouched(nil, []string{"https://auditor.example"}, []byte("not a statement"))
	fmt.Println(err != nil)

	q := &witness.Quorum{Threshold: 2, Missing: []string{"https://auditor.example"}}
	fmt.Println(q.Size(), q.Outcome() == witness.Missed)
	// Output:
	// true
	// 1 true
}
