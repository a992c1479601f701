// Package testlog checks whole logs in tests, and makes the keys and
// statements that tests of logs need.
package testlog

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

// Issuer and Origin name the service of a test.
const (
	Issuer = "https://transparency.example"
	Origin = "transparency.example"
)

// Keys are the keys of a log, and what it announces of them.
type Keys struct {
	Receipt    crypto.Signer
	Service    crypto.Signer
	Recovery   crypto.Signer
	Announced  *scitt.Keys
	NoteKey    crypto.Signer // Ed25519
	Note       note.Signer   // the same
	Tree       *scitt.TreeSigner
	Handovers  map[string]string // checkpoints by the keys before, by keys statement
	VKeys      []string
	Verifiers  scitt.CheckpointVerifiers
	Signatures func() int // made with the receipt key so far
}

// NewKeys makes the keys of a log.
func NewKeys(t testing.TB) *Keys {
	t.Helper()
	return NewKeysOf(t, Origin)
}

// NewKeysOf makes the keys of a log with another origin.
func NewKeysOf(t testing.TB, origin string) *Keys {
	t.Helper()
	k := &Keys{Service: Key(t, "ES256"), Recovery: Key(t, "ES256")}
	k.Announced = &scitt.Keys{Service: KeySet(t, k.Service), Recovery: [][]byte{KeySet(t, k.Recovery)[0].ID}}
	k.renew(t, origin)
	return k
}

// renew makes a new note key and a new receipt key, and announces them before
// those that there were.
func (k *Keys) renew(t testing.TB, origin string) {
	t.Helper()
	k.Receipt = Key(t, "ES256")
	var vkey string
	var err error
	k.NoteKey = Key(t, "EdDSA")
	if k.Note, vkey, err = scitt.NewNoteSigner(origin, k.NoteKey); err != nil {
		t.Fatal(err)
	}
	k.Announced.Note = append([]string{vkey}, k.Announced.Note...)
	k.Announced.Receipt = append(KeySet(t, k.Receipt), k.Announced.Receipt...)
	k.VKeys = Must(k.Announced.VKeys())(t)
	k.Verifiers = Must(scitt.NewCheckpointVerifiers(k.VKeys))(t)
	k.NewTree(t)
}

// NoteVKey is the verifier key of an Ed25519 key.
func NoteVKey(t testing.TB, origin string, key crypto.Signer) string {
	t.Helper()
	return Must(scitt.LogVKey(origin, key.Public()))(t)
}

// NewTree makes the signer of trees anew, as a restart does.
func (k *Keys) NewTree(t testing.TB) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	k.Tree = Must(scitt.NewTreeSigner(k.Receipt, Issuer, k.Note.Name(), time.Now, func() { mu.Lock(); n++; mu.Unlock() }))(t)
	k.Signatures = func() int { mu.Lock(); defer mu.Unlock(); return n }
}

// KeySet is what a Relying Party knows of the log.
func (k *Keys) KeySet(testing.TB) scitt.KeySet { return k.Announced.Receipt }

// KeySet are the public keys by their thumbprints.
func KeySet(t testing.TB, keys ...crypto.Signer) (set scitt.KeySet) {
	t.Helper()
	for _, key := range keys {
		set = append(set, Must(scitt.NewKey(key.Public()))(t))
	}
	return set
}

// Key makes a signing key.
func Key(t testing.TB, algorithm string) crypto.Signer {
	t.Helper()
	return Must(scitt.GenerateKey(algorithm))(t)
}

// ID is the id of an Entry; zero for bytes that are none.
func ID(entry []byte) scitt.EntryID {
	id, _ := scitt.EntryIDOf(entry)
	return id
}

// Statement signs content by an issuer that is a did:jwk.
func Statement(t testing.TB, key crypto.Signer, subject string, content []byte) []byte {
	t.Helper()
	return Must(scitt.SignStatement(key, scitt.SignOptions{Subject: subject, ContentType: "text/plain"}, content))(t)
}

// SignAs signs a record, a measurement and the like with these options.
func SignAs(key crypto.Signer, what interface {
	ToSign() ([]byte, scitt.SignOptions, error)
}, o scitt.SignOptions) ([]byte, error) {
	payload, as, err := what.ToSign()
	if err != nil {
		return nil, err
	}
	o.Type, o.Subject, o.ContentType = cmp.Or(o.Type, as.Type), as.Subject, as.ContentType
	return scitt.SignStatement(key, o, payload)
}

// appender is a [github.com/conmotion/conmotion/storage.Log].
type appender interface {
	Append(ctx context.Context, entry []byte) (func(context.Context) (uint64, bool, error), error)
	Await(ctx context.Context, index uint64) (*tiles.View, error)
}

// Register registers a statement in a log, whether its policy would admit it or
// not, and returns its index, whether it was there, and its Receipt.
func Register(t testing.TB, log appender, statement []byte) (index uint64, duplicate bool, receipt []byte) {
	t.Helper()
	st := Must(scitt.ParseStatement(statement))(t)
	wait := Must(log.Append(t.Context(), st.Entry()))(t)
	index, duplicate, err := wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	view := Must(log.Await(t.Context(), index))(t)
	return index, duplicate, Must(view.Receipt(t.Context(), index, scitt.LeafHash(st.Entry())))(t)
}

// Must gives the value, or ends the test with the error.
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Checker is the one checker of a whole log. It remembers what it saw, so
// that each call also checks that the log only grew.
type Checker struct {
	log  *tiles.Log
	keys scitt.KeySet
	last *scitt.Checkpoint
}

// NewChecker checks the log in a public directory or at a URL.
func NewChecker(t testing.TB, location string, vkeys []string, keys scitt.KeySet) *Checker {
	t.Helper()
	src := Must(tiles.Open(location, client.Options{}))(t)
	verifiers := Must(scitt.NewCheckpointVerifiers(vkeys))(t)
	return &Checker{log: tiles.NewLog(src, verifiers), keys: keys, last: scitt.EmptyCheckpoint(verifiers.Note.Name())}
}

// Check holds the log to all its promises: the checkpoint is signed and
// extends the last one that was seen; every tile and the root follow from the
// entries; every entry is well formed and in the log once; each receipt that
// was ever given verifies and speaks of this log. Receipts are by their
// statement.
func (c *Checker) Check(t testing.TB, receipts map[string][]byte) *tiles.View {
	t.Helper()
	view, err := c.check(t.Context(), receipts)
	if err != nil {
		t.Fatalf("the log breaks a promise: %v", err)
	}
	return view
}

func (c *Checker) check(ctx context.Context, receipts map[string][]byte) (*tiles.View, error) {
	view, err := c.log.Latest(ctx)
	if err != nil {
		return nil, err
	}
	if err := view.Consistency(ctx, c.last); err != nil {
		return nil, err
	}
	c.last = view.Checkpoint
	var problems []error
	if err := tiles.Fsck(ctx, c.log.Source, view.Checkpoint, func(err error) { problems = append(problems, err) }, nil); err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%d problems, first: %w", len(problems), problems[0])
	}
	places := map[scitt.EntryID]uint64{}
	for e, err := range view.Entries(ctx, 0, view.Checkpoint.Size) {
		if err != nil {
			return nil, err
		}
		id, ok := scitt.EntryIDOf(e.Data)
		if !ok {
			continue
		}
		if first, ok := places[id]; ok {
			return nil, fmt.Errorf("entry %s is at %d and at %d", id, first, e.Index)
		}
		places[id] = e.Index
	}
	for statement, receipt := range receipts {
		if err := c.checkReceipt(ctx, view, places, []byte(statement), receipt); err != nil {
			return nil, err
		}
	}
	return view, nil
}

func (c *Checker) checkReceipt(ctx context.Context, view *tiles.View, places map[scitt.EntryID]uint64, statement, receipt []byte) error {
	st, err := scitt.ParseStatement(statement)
	if err != nil {
		return err
	}
	r, err := scitt.ParseReceipt(receipt)
	if err != nil {
		return err
	}
	if err := c.keys.VerifyReceipt(r, st.Entry()); err != nil {
		return fmt.Errorf("receipt of %s: %w", st.ID(), err)
	}
	for _, p := range r.Proofs {
		if at, ok := places[st.ID()]; !ok || at != p.Index {
			return fmt.Errorf("entry %s has a receipt for index %d, and is at %d (in the log: %v)", st.ID(), p.Index, at, ok)
		}
		// The tree that the receipt is of is a former state of this log.
		root, err := p.Root(scitt.LeafHash(st.Entry()))
		if err != nil {
			return err
		}
		if bytes.Equal(root, view.Checkpoint.Root) {
			continue
		}
		if err := view.Consistency(ctx, &scitt.Checkpoint{Origin: view.Checkpoint.Origin, Size: p.Size, Root: root}); err != nil {
			return fmt.Errorf("receipt of %s: %w", st.ID(), err)
		}
	}
	return nil
}
