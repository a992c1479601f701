package witness_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// receipt is of a log of one more entry than this statement, signed with a key.
func receipt(t *testing.T, keys *testlog.Keys, st *scitt.Statement) []byte {
	t.Helper()
	other := make([]byte, 32)
	proof := &scitt.InclusionProof{Size: 2, Index: 0, Path: [][]byte{other}}
	root := testlog.Must(proof.Root(scitt.LeafHash(st.Entry())))(t)
	return testlog.Must(scitt.SignTree(keys.Receipt, testlog.Issuer, keys.Note.Name(), time.Unix(1e9, 0), root))(t).Receipt(proof)
}

func statement(t *testing.T, subject string) *scitt.Statement {
	t.Helper()
	return testlog.Must(scitt.ParseStatement(testlog.Statement(t, testlog.Key(t, "EdDSA"), subject, []byte(subject))))(t)
}

func keysOf(t *testing.T, k *testlog.Keys) witness.Keys {
	return witness.Keys{Named: testlog.Must(scitt.ParseKeySet(testlog.Must(k.KeySet(t).Marshal())(t)))(t)}
}

// TestQuorum: what counts are logs that vouch, each once, whatever its names and
// the number of its Receipts, and however many others there are.
func TestQuorum(t *testing.T) {
	st, another := statement(t, "s"), statement(t, "another")
	a, b, c, stranger := testlog.NewKeysOf(t, "a"), testlog.NewKeysOf(t, "b"), testlog.NewKeysOf(t, "c"), testlog.NewKeysOf(t, "stranger")
	ra, rb := receipt(t, a, st), receipt(t, b, st)
	wrong := receipt(t, c, another) // by a key that is known, for something else
	ka, kb, kc := keysOf(t, a), keysOf(t, b), keysOf(t, c)
	pem := witness.Keys{Unnamed: []scitt.Key{{ID: []byte("by thumbprint"), Public: a.Receipt.Public()}}}
	stolen := witness.Keys{Named: scitt.KeySet{kc.Named[0], {ID: ka.Named[0].ID}}} // c had the key of a, and says that others may have it
	type logs map[string]witness.Keys
	for name, c := range map[string]struct {
		logs     logs
		missing  int
		receipts [][]byte
		vouching []string
		size     int
		outcomes []witness.Outcome // for the thresholds from 1 on
		bad      bool              // a Receipt fails
	}{
		"two of three":             {logs{"a": ka, "b": kb, "c": kc}, 0, [][]byte{ra, rb}, []string{"a", "b"}, 3, []witness.Outcome{witness.Reached, witness.Reached, witness.Missed}, false},
		"two receipts of one log":  {logs{"a": ka, "b": kb}, 0, [][]byte{ra, receipt(t, a, st)}, []string{"a"}, 2, []witness.Outcome{witness.Reached, witness.Missed}, false},
		"one log under two names":  {logs{"a": ka, "a again": ka}, 0, [][]byte{ra}, []string{"a = a again"}, 1, []witness.Outcome{witness.Reached, witness.Missed}, false},
		"and without a name":       {logs{"a": ka, "pem": pem}, 0, [][]byte{ra}, []string{"a = pem"}, 1, []witness.Outcome{witness.Reached, witness.Missed}, false},
		"an unnamed key alone":     {logs{"pem": pem}, 0, [][]byte{ra}, []string{"pem"}, 1, []witness.Outcome{witness.Reached}, false},
		"a compromised key":        {logs{"c": stolen}, 0, [][]byte{ra}, nil, 1, []witness.Outcome{witness.Undecided}, false},
		"and a sound one":          {logs{"c": stolen}, 0, [][]byte{ra, receipt(t, c, st)}, []string{"c"}, 1, []witness.Outcome{witness.Reached}, false},
		"and another log":          {logs{"b": kb, "c": stolen}, 0, [][]byte{ra, rb}, []string{"b"}, 2, []witness.Outcome{witness.Reached, witness.Undecided}, false},
		"a stranger's receipt":     {logs{"a": ka}, 0, [][]byte{receipt(t, stranger, st)}, nil, 1, []witness.Outcome{witness.Missed}, false},
		"beside a good one":        {logs{"a": ka}, 0, [][]byte{receipt(t, stranger, st), ra}, []string{"a"}, 1, []witness.Outcome{witness.Reached}, false},
		"none":                     {logs{"a": ka}, 0, nil, nil, 1, []witness.Outcome{witness.Missed}, false},
		"one out of reach":         {logs{"a": ka}, 1, [][]byte{ra, rb}, []string{"a"}, 2, []witness.Outcome{witness.Reached, witness.Undecided, witness.Missed}, false},
		"all out of reach":         {nil, 2, [][]byte{ra}, nil, 2, []witness.Outcome{witness.Undecided, witness.Undecided, witness.Missed}, false},
		"a receipt that is wrong":  {logs{"a": ka, "c": kc}, 0, [][]byte{ra, wrong}, []string{"a"}, 2, []witness.Outcome{witness.Reached, witness.Missed}, true},
		"wrong, and another right": {logs{"a": ka, "b": kb, "c": kc}, 0, [][]byte{wrong, ra, rb}, []string{"a", "b"}, 3, []witness.Outcome{witness.Reached, witness.Reached, witness.Missed}, true},
	} {
		t.Run(name, func(t *testing.T) {
			q := &witness.Quorum{}
			for _, name := range slices.Sorted(maps.Keys(c.logs)) {
				q.Add(name, c.logs[name])
			}
			for range c.missing {
				q.Missing = append(q.Missing, "missing")
			}
			out, err := q.Verify(&scitt.Verifier{}, scitt.AttachReceipts(st, c.receipts...), c.receipts)
			if err != nil || out.SignatureErr != nil || len(out.Receipts) != len(c.receipts) {
				t.Fatalf("%+v, %v", out, err)
			}
			var vouching []string
			for _, l := range q.Vouching() {
				vouching = append(vouching, strings.Join(l.Names, " = "))
			}
			if !slices.Equal(vouching, c.vouching) || q.Size() != c.size {
				t.Errorf("%q of %d vouch", vouching, q.Size())
			}
			for i, want := range c.outcomes {
				if q.Threshold = i + 1; q.Outcome() != want {
					t.Errorf("of %d: %v", q.Threshold, q.Outcome())
				}
			}
			bad := slices.ContainsFunc(out.Receipts, func(r scitt.ReceiptVerification) bool {
				return r.Err != nil && !errors.Is(r.Err, scitt.ErrUnknownKey)
			})
			if bad != c.bad {
				t.Errorf("%+v", out.Receipts)
			}
		})
	}
}

// TestQuorumJoins: a log that has keys in common with two that were apart makes
// them one.
func TestQuorumJoins(t *testing.T) {
	a, b, c := keysOf(t, testlog.NewKeysOf(t, "a")), keysOf(t, testlog.NewKeysOf(t, "b")), keysOf(t, testlog.NewKeysOf(t, "c"))
	q := &witness.Quorum{}
	q.Add("a", a)
	q.Add("b", b)
	q.Add("c", c)
	q.Add("both", witness.Keys{Named: slices.Concat(a.Named, b.Named)})
	if q.Size() != 2 || len(q.Logs[1].Names) != 3 || len(q.Logs[1].Keys.Named) < 2 {
		t.Errorf("%+v", q.Logs)
	}
}

// TestQuorumStatement: what is not a statement is refused, whatever the logs are.
func TestQuorumStatement(t *testing.T) {
	q := &witness.Quorum{Threshold: 1}
	q.Add("a", keysOf(t, testlog.NewKeysOf(t, "a")))
	if out, err := q.Verify(&scitt.Verifier{}, []byte("nonsense"), nil); err == nil {
		t.Errorf("%+v", out)
	}
}

// TestKeys: a key that was given without an identifier has that of a single
// Receipt, and among several it cannot know its own.
func TestKeys(t *testing.T) {
	st, keys := statement(t, "s"), testlog.NewKeys(t)
	r := receipt(t, keys, st)
	k := witness.Keys{Unnamed: []scitt.Key{{ID: []byte("another"), Public: keys.Receipt.Public()}}}
	if checked, err := k.Verify(st, [][]byte{r}, time.Time{}); err != nil || len(checked) != 1 || checked[0].Err != nil {
		t.Errorf("%+v, %v", checked, err)
	}
	if checked, err := k.Verify(st, [][]byte{r, r}, time.Time{}); err != nil || len(checked) != 2 || !errors.Is(checked[0].Err, scitt.ErrUnknownKey) {
		t.Errorf("%+v, %v", checked, err)
	}
	if checked, err := k.Verify(st, nil, time.Time{}); len(checked) != 0 || err != nil {
		t.Errorf("%+v, %v", checked, err)
	}
	if len(k.For([][]byte{[]byte("no receipt")})) != 1 {
		t.Error("of what is not a receipt a key got its name")
	}
}

// TestQuorumTime: a Receipt counts until it expires, and never where nobody says
// what time it is.
func TestQuorumTime(t *testing.T) {
	st, key := statement(t, "s"), testlog.Key(t, "ES384")
	r := testlog.Must(vectors.NewLedgerReceipt(key, "ledger.example", [][]byte{[]byte("first"), st.Entry()}, 1))(t)
	expires := time.Unix(2e9, 0)
	r.Protected[int64(15)].(map[any]any)[int64(4)] = expires.Unix()
	data := testlog.Must(r.Encode(key))(t)
	own := scitt.KeySet{testlog.Must(scitt.NewKey(key.Public()))(t)}
	for at, want := range map[time.Time]witness.Outcome{
		expires.Add(-time.Second): witness.Reached, expires: witness.Missed, expires.Add(time.Hour): witness.Missed, {}: witness.Missed,
	} {
		q := &witness.Quorum{Threshold: 1}
		q.Add("ledger", witness.Keys{Named: own})
		_, err := q.Verify(&scitt.Verifier{At: at}, scitt.AttachReceipts(st, data), [][]byte{data})
		if err != nil || q.Outcome() != want {
			t.Errorf("at %v: outcome %v, %v", at, q.Outcome(), err)
		}
	}
}

// TestQuorumSignatures: logs that hold different signatures of one content
// vouch for different files, and count for its entry id, each once.
func TestQuorumSignatures(t *testing.T) {
	key := testlog.Key(t, "ES256")
	first := testlog.Must(scitt.ParseStatement(testlog.Statement(t, key, "s", nil)))(t)
	twin := testlog.Must(scitt.ParseStatement(testlog.Must(vectors.Twin(key, first.Entry()))(t)))(t)
	a, b := testlog.NewKeysOf(t, "a"), testlog.NewKeysOf(t, "b")
	q := &witness.Quorum{Threshold: 2}
	q.Add("a", keysOf(t, a))
	q.Add("b", keysOf(t, b))
	verify := func(st *scitt.Statement, receipts ...[]byte) error {
		out, err := q.Verify(&scitt.Verifier{}, scitt.AttachReceipts(st, receipts...), receipts)
		if err != nil {
			return err
		}
		return out.Err()
	}
	for i, c := range []struct {
		st      *scitt.Statement
		receipt []byte
		outcome witness.Outcome
	}{{first, receipt(t, a, first), witness.Missed}, {twin, receipt(t, a, twin), witness.Missed}, {twin, receipt(t, b, twin), witness.Reached}} {
		if err := verify(c.st, c.receipt); err != nil || q.Outcome() != c.outcome {
			t.Errorf("%d: %v, outcome %v", i, err, q.Outcome())
		}
	}
	if l := q.Vouching(); len(l) != 2 || l[0].Vouched.Statement.ID() != first.ID() || !bytes.Equal(l[0].Vouched.Statement.Entry(), first.Entry()) {
		t.Errorf("vouching: %+v", l)
	}
	if err := verify(first, receipt(t, b, twin)); !errors.Is(err, scitt.ErrSignature) {
		t.Errorf("a Receipt of another signature: %v", err)
	}
	if err := verify(statement(t, "other")); !errors.Is(err, witness.ErrContent) {
		t.Errorf("other content: %v", err)
	}
}
