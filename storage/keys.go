package storage

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// Keys sign the checkpoints of a log.
type Keys struct {
	// Signer signs checkpoints (Ed25519); its name is the log's origin.
	Signer note.Signer
	// Others, of the same name, sign them too, while one key takes over from another.
	Others []note.Signer
	// Tree signs the root of each checkpoint for receipts.
	Tree *scitt.TreeSigner
	// PQNote and PQTree, when not nil, do the same with ML-DSA-44.
	PQNote note.Signer
	PQTree *scitt.TreeSigner
	// Verifiers are the public sides of Signer and Tree, and of the keys before Tree.
	Verifiers scitt.CheckpointVerifiers
}

// signers sign each checkpoint.
func (k Keys) signers() []note.Signer {
	signers := append([]note.Signer{k.Signer, k.Tree}, k.Others...)
	if k.PQNote != nil {
		signers = append(signers, k.PQNote)
	}
	if k.PQTree != nil {
		signers = append(signers, k.PQTree)
	}
	return signers
}

// resume has the tree of a checkpoint keep its signatures for Receipts.
func (k Keys) resume(c *scitt.Checkpoint) {
	k.Tree.Resume(c)
	if k.PQTree != nil {
		k.PQTree.Resume(c)
	}
}

// Sign has checkpoints signed with other keys from now on. Of the writer the tree that
// is public has them too when it returns nil; an error leaves it to the next checkpoint. A crash
// leaves the signatures before, or both.
func (l *Log) Sign(ctx context.Context, k Keys) error {
	l.pub.sign(k)
	if l.ReadOnly() != nil {
		return nil
	}
	return l.pub.poll(ctx)
}

// signer are the keys that sign the next checkpoint.
func (p *publisher) signer() Keys {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.keys
}

// sign has the next checkpoint signed with other keys, also when it is of the tree
// that is public. That is opened anew: its signatures may be by keys that are known only now.
func (p *publisher) sign(k Keys) {
	p.polling.Lock()
	defer p.polling.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.taken, p.made = k, nil, nil
	if cp, err := k.Verifiers.Open(p.view.Checkpoint.Raw); err == nil {
		view := *p.view
		view.Checkpoint, p.view = cp, &view
	}
	k.resume(p.view.Checkpoint)
}

// signature signs what the engine made. The caller holds polling.
func (p *publisher) signature(made []byte) ([]byte, error) {
	if p.made != nil && bytes.Equal(made, p.made) {
		return p.signed, nil
	}
	cp, _, err := scitt.OpenNote(made)
	if err != nil {
		return nil, err
	}
	k := p.signer()
	if cp.Origin != k.Signer.Name() {
		return nil, fmt.Errorf("%w: it is of %.80q", scitt.ErrCheckpoint, cp.Origin)
	}
	if p.signed, err = note.Sign(&note.Note{Text: cp.Body()}, k.signers()...); err == nil {
		p.made = made
	}
	return p.signed, err
}

// announcer is what the engine signs with: nothing, since the publisher signs what
// becomes public. It tells that a checkpoint will soon be there.
type announcer struct {
	origin string
	told   func()
}

// Name is the log's origin.
func (a announcer) Name() string { return a.origin }

// KeyHash is that of no key.
func (announcer) KeyHash() uint32 { return 0 }

// Sign gives the shortest signature that a note may have.
func (a announcer) Sign([]byte) ([]byte, error) {
	a.told()
	return []byte{0}, nil
}
