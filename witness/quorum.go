package witness

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// Keys are the keys whose Receipts count as one log's.
type Keys struct {
	Named scitt.KeySet
	// Unnamed keys were given without an identifier, as PEM. They have their
	// thumbprint for a name, and a single Receipt's own kid as well.
	Unnamed []scitt.Key
}

// ParseKeys reads a COSE Key Set, a COSE_Key, or a public key as PEM, JWK or did:jwk.
func ParseKeys(data []byte) (Keys, error) {
	if set, err := scitt.ParseKeySet(data); err == nil {
		return Keys{Named: set}, nil
	}
	if key, err := scitt.ParseKey(data); err == nil {
		return Keys{Named: scitt.KeySet{key}}, nil
	}
	key, err := scitt.ParsePublicKey(data)
	if err != nil {
		return Keys{}, fmt.Errorf("neither a COSE Key Set, a COSE_Key nor a public key: %w", err)
	}
	return Keys{Unnamed: []scitt.Key{key}}, nil
}

// For returns the keys under the names that these Receipts use. Among several
// Receipts an unnamed key cannot know its own by a foreign kid.
func (k Keys) For(receipts [][]byte) scitt.KeySet {
	keys := slices.Clone(k.Named)
	for _, key := range k.Unnamed {
		keys = append(keys, key)
		if len(receipts) == 1 {
			if r, err := scitt.ParseReceipt(receipts[0]); err == nil && r.KeyID != nil {
				keys = append(keys, scitt.Key{ID: r.KeyID, Public: key.Public})
			}
		}
	}
	return keys
}

// Verify verifies Receipts for a statement at a time.
func (k Keys) Verify(st *scitt.Statement, receipts [][]byte, at time.Time) ([]scitt.ReceiptVerification, error) {
	if len(receipts) == 0 {
		return nil, nil
	}
	v := scitt.Verifier{LogKeys: k.For(receipts), At: at}
	out, err := v.Verify(scitt.AttachReceipts(st, receipts...))
	if err != nil {
		return nil, err
	}
	return out.Receipts, nil
}

// shares reports whether two logs have a public key in common, under whatever name.
func (k Keys) shares(o Keys) bool {
	mine := k.public()
	return slices.ContainsFunc(o.public(), func(key string) bool { return slices.Contains(mine, key) })
}

func (k Keys) public() (keys []string) {
	for _, key := range slices.Concat(k.Named, k.Unnamed) {
		if thumbprint, err := scitt.Thumbprint(key.Public); err == nil {
			keys = append(keys, string(thumbprint))
		}
	}
	return keys
}

// Log is one log of a [Quorum], under all the names that it was added with.
type Log struct {
	Names []string
	Keys  Keys
	// Vouched is what the log vouches for, the first of several; nil for nothing.
	Vouched *scitt.Verification
	// PostQuantum reports that a Receipt by an ML-DSA-44 key of the log verified.
	PostQuantum bool
	// Doubted reports a Receipt by a compromised key, which may be the log's or not.
	Doubted bool
}

// Quorum is the rule that so many of these logs have to vouch for an entry id.
type Quorum struct {
	Threshold int // how many, at least 1
	Logs      []*Log
	Missing   []string // names of logs that are out of reach: they do not vouch

	first *scitt.Statement // that was verified
}

// ErrContent is wrapped when a statement is not another signature of the one
// that a [Quorum] counts for.
var ErrContent = errors.New("another content, and not another signature of the same")

// Add adds a log. Logs that have a public key in common are one log, and count once.
func (q *Quorum) Add(name string, keys Keys) {
	one := &Log{Names: []string{name}, Keys: keys}
	q.Logs = slices.DeleteFunc(q.Logs, func(o *Log) bool {
		if !one.Keys.shares(o.Keys) {
			return false
		}
		one.Names = append(o.Names, one.Names...)
		one.Keys.Named = append(one.Keys.Named, o.Keys.Named...)
		one.Keys.Unnamed = append(one.Keys.Unnamed, o.Keys.Unnamed...)
		return true
	})
	q.Logs = append(q.Logs, one)
}

// Verify verifies a Transparent Statement, each log's Receipts with that log's own
// keys; verifier has none. Logs that hold different signatures of one content
// vouch for different Transparent Statements: each is verified, and what counts
// are the logs that vouch for any of them. The entry id of all is one, else the error wraps ErrContent. Of each Receipt the result is that of the log whose it
// is: the one that vouches with it, or else one that knows the key that it names.
// Other errors are those of [scitt.Verifier.Verify].
func (q *Quorum) Verify(verifier *scitt.Verifier, statement []byte, receipts [][]byte) (*scitt.Verification, error) {
	out, err := verifier.Verify(statement) // without keys: the signature
	if err != nil {
		return nil, err
	}
	if q.first == nil {
		q.first = out.Statement
	}
	if id := out.Statement.ID(); id != q.first.ID() {
		return nil, fmt.Errorf("%w: entry %v and entry %v", ErrContent, q.first.ID(), id)
	}
	for _, l := range q.Logs {
		own := *verifier
		own.LogKeys = l.Keys.For(receipts)
		mine, err := own.Verify(statement)
		if err != nil {
			return nil, err
		}
		for i, r := range mine.Receipts {
			if r.Err == nil && l.Vouched == nil {
				l.Vouched = out
			}
			l.PostQuantum = l.PostQuantum || r.Err == nil && r.Receipt.PostQuantum()
			doubted := errors.Is(r.Err, scitt.ErrCompromised)
			l.Doubted = l.Doubted || doubted
			known := r.Receipt != nil && (doubted || !errors.Is(r.Err, scitt.ErrUnknownKey))
			if r.Err == nil || known && out.Receipts[i].Err != nil {
				out.Receipts[i] = r
			}
		}
	}
	return out, nil
}

// Vouching returns the logs of which a Receipt verified.
func (q *Quorum) Vouching() []*Log {
	return slices.DeleteFunc(slices.Clone(q.Logs), func(l *Log) bool { return l.Vouched == nil })
}

// Doubted returns the logs of which there are only Receipts by compromised keys.
func (q *Quorum) Doubted() []*Log {
	return slices.DeleteFunc(slices.Clone(q.Logs), func(l *Log) bool { return l.Vouched != nil || !l.Doubted })
}

// Size is how many logs there are, those out of reach included.
func (q *Quorum) Size() int { return len(q.Logs) + len(q.Missing) }

// Outcome is what a Quorum comes to.
type Outcome int

// Outcomes of a [Quorum].
const (
	Missed    Outcome = iota // too few logs vouch, whatever the missing ones say
	Undecided                // too few do, and the missing or doubted ones could change that
	Reached                  // enough logs vouch
)

// Outcome counts the logs that vouch.
func (q *Quorum) Outcome() Outcome {
	switch n := len(q.Vouching()); {
	case n >= q.Threshold:
		return Reached
	case n+len(q.Missing)+len(q.Doubted()) >= q.Threshold:
		return Undecided
	}
	return Missed
}
