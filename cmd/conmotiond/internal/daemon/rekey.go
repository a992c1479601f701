package daemon

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// keyState is what this instance knows of the log's keys.
type keyState struct {
	inForce    *scitt.KeysInForce
	statements []*scitt.KeysInForce // all that came into force, in order
	signing                         // zero where the instance does not have the keys
	missing    error                // says which
}

// keysInForce are the keys that judge the next statement.
func (d *Daemon) keysInForce() *scitt.KeysInForce { return d.keyed.Load().inForce }

// learn takes the keys of the last of these statements for those in force.
func (d *Daemon) learn(statements []*scitt.KeysInForce) *keyState {
	k := &keyState{inForce: statements[len(statements)-1], statements: statements}
	k.signing, k.missing = signingFor(d.keys, k.inForce.Keys)
	d.keyed.Store(k)
	return k
}

// missing says which of the log's keys this instance does not have.
func (d *Daemon) missing() error {
	if k := d.keyed.Load(); k != nil {
		return k.missing
	}
	return nil
}

// lacks says which of the log's keys a replica does not have. It looks again: they may have
// come.
func (d *Daemon) lacks(ctx context.Context) error {
	if d.missing() == nil {
		return nil
	}
	d.rekeying.Lock()
	defer d.rekeying.Unlock()
	k := d.learn(d.keyed.Load().statements)
	if k.missing != nil {
		return k.missing
	}
	return d.signWith(ctx, k)
}

// openKeys learns the log's keys when it is opened, and returns what is shown of them. A
// replica starts from what the writer shows, which may be less than what the log announces.
func (d *Daemon) openKeys(ctx context.Context) (*personality.Keys, error) {
	all, places, err := d.readStatements(ctx)
	if err != nil {
		return nil, err
	}
	if d.log.ReadOnly() != nil {
		c, err := d.shown(ctx)
		if n := len(c.Keys); err == nil && 0 < n && n <= len(all) && c.Keys[n-1].EntryID == places[n-1].EntryID {
			all, places = all[:n], c.Keys
		}
	}
	k := d.learn(all)
	if k.missing != nil && (d.log.ReadOnly() == nil || d.replica()) {
		return nil, k.missing
	}
	if err := checkRecovery(d.keys, k.inForce); err != nil {
		return nil, err
	}
	vkeys, err := k.inForce.VKeys()
	return &personality.Keys{Receipt: k.inForce.ReceiptKeys(), VKeys: vkeys, Statements: places}, err
}

// startKeys has the writer sign with the keys that the log announces.
func (d *Daemon) startKeys(ctx context.Context) error {
	if d.log.ReadOnly() != nil {
		return nil
	}
	d.rekeying.Lock()
	defer d.rekeying.Unlock()
	err := d.takeKeys(ctx)
	if err != nil && d.missing() == nil && ctx.Err() == nil {
		d.logger.Error("the log does not sign with the keys that it announces yet; will keep trying", "err", err)
		d.kept.Go(func() { d.keepTaking(d.running) })
		return nil
	}
	return err
}

// readStatements follows the keys statements in the log, from entry 0 on. What is not a valid
// successor is not in force, and an audit tells of it.
func (d *Daemon) readStatements(ctx context.Context) (all []*scitt.KeysInForce, places []scitt.ConfigurationKeys, err error) {
	indices, err := d.index.Keys(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(indices) == 0 {
		indices = []uint64{0} // the index reads it soon
	}
	for _, i := range indices {
		var entry []byte
		view, err := d.log.Await(ctx, i)
		if err == nil {
			entry, err = view.Entry(ctx, i)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("keys statement at entry %d: %w", i, err)
		}
		var k *scitt.KeysInForce
		st, err := scitt.ParseStatement(entry)
		switch {
		case err != nil:
		case len(all) == 0:
			k, err = scitt.FirstKeys(st, view.Checkpoint.Origin)
		default:
			k, err = all[len(all)-1].Next(st)
		}
		if err != nil && len(all) == 0 {
			return nil, nil, fmt.Errorf("keys statement at entry %d: %w", i, err)
		}
		if err != nil {
			d.logger.Warn("a keys statement in the log is not in force", "entry", i, "err", err)
			continue
		}
		all, places = append(all, k), append(places, scitt.ConfigurationKeys{EntryID: k.ID.String(), Index: i})
	}
	return all, places, nil
}

// shown is the configuration in the log's files; an empty one where there is none.
func (d *Daemon) shown(ctx context.Context) (*scitt.Configuration, error) {
	data, err := d.place.Get(ctx, tiles.ConfigurationPath)
	if errors.Is(err, fs.ErrNotExist) {
		return &scitt.Configuration{}, nil
	}
	if err != nil {
		return nil, err
	}
	return scitt.ParseConfiguration(data)
}

// takeKeys has the log's writer sign with the keys that the log announces. It goes on where
// a crash left it, because each step shows in the log's files:
//
//  1. the statement is in the log, and the keys before sign checkpoints;
//  2. the note keys before and after sign one: the handover;
//  3. keys and configuration show the statement, the handover and the new keys;
//  4. the new keys sign.
//
// The caller holds d.rekeying.
func (d *Daemon) takeKeys(ctx context.Context) error {
	if err := d.index.Sync(ctx); err != nil {
		return err
	}
	all, places, err := d.readStatements(ctx)
	if err != nil {
		return err
	}
	k := d.learn(all)
	if k.missing != nil {
		return k.missing
	}
	vkeys, err := k.inForce.VKeys()
	if err != nil {
		return err
	}
	next := d.signs
	next.Signer, next.Others = k.note, nil
	if next.Verifiers, err = scitt.NewCheckpointVerifiers(append(slices.Clone(vkeys), d.vkeys[1])); err != nil {
		return err
	}
	if err := d.handOver(ctx, next, all, places); err != nil {
		return err
	}
	d.ShowKeys(personality.Keys{Receipt: k.inForce.ReceiptKeys(), VKeys: vkeys, Statements: places})
	if err := d.writeWellKnown(ctx); err != nil {
		return err
	}
	return d.signWith(ctx, k)
}

// handOver has the note keys before sign a tree that their successors sign too, where the
// configuration does not show that they did, and notes that in places.
func (d *Daemon) handOver(ctx context.Context, next storage.Keys, all []*scitt.KeysInForce, places []scitt.ConfigurationKeys) error {
	shown, err := d.shown(ctx)
	if err != nil {
		return err
	}
	due := map[int]scitt.CheckpointVerifiers{} // of the keys before
	for i := 1; i < len(all); i++ {
		before := all[i-1]
		if before.Note[0] == all[i].Note[0] {
			continue
		}
		if at := slices.IndexFunc(shown.Keys, func(s scitt.ConfigurationKeys) bool { return s.EntryID == places[i].EntryID }); at >= 0 && shown.Keys[at].Handover != "" {
			places[i].Handover = shown.Keys[at].Handover
			continue
		}
		signs, err := d.noteSigner(before.Keys, 0)
		switch {
		case err != nil:
			return err
		case signs != nil:
			next.Others = append(next.Others, signs)
			if due[i], err = scitt.NewCheckpointVerifiers(before.Note[:1]); err != nil {
				return err
			}
		case all[i].RecoveryKey == nil:
			d.logger.Error("the handover of the note key is not in the configuration, and the key before is gone: who remembers the log cannot follow it; put the configuration back from a mirror or a backup", "entry", places[i].Index, "key", before.Note[0])
		}
	}
	if len(due) == 0 {
		return nil
	}
	if next.Others, err = d.beside(all[len(all)-1].Keys, next.Others...); err != nil {
		return err
	}
	if err := d.sign(ctx, next); err != nil {
		return err
	}
	both := d.log.Published().Checkpoint.Raw
	for i, verifiers := range due {
		if _, err := verifiers.Open(both); err != nil {
			return fmt.Errorf("the handover of entry %d is not public yet: %w", places[i].Index, err)
		}
		places[i].Handover = string(both)
	}
	return nil
}

// noteSigner signs with the note key at a place of a statement; nil where this instance does
// not have it.
func (d *Daemon) noteSigner(k *scitt.Keys, at int) (note.Signer, error) {
	keys, err := k.NoteKeys()
	if err != nil {
		return nil, err
	}
	r, err := readRing(d.keys, purposeNote)
	if err != nil {
		return nil, err
	}
	key := r.find(keys[at].ID)
	if key == nil {
		return nil, nil
	}
	s, _, err := scitt.NewNoteSigner(k.Origin(), key)
	return s, err
}

// beside are the note keys that go on beside the one in force, with those that are given.
// With witnesses they are all keys before whose files are there: which of them a witness
// knows is not known here.
func (d *Daemon) beside(k *scitt.Keys, others ...note.Signer) ([]note.Signer, error) {
	for at := 1; d.witnessed && at < len(k.Note); at++ {
		s, err := d.noteSigner(k, at)
		if err != nil {
			return nil, err
		}
		if s != nil && !slices.ContainsFunc(others, func(o note.Signer) bool { return o.KeyHash() == s.KeyHash() }) {
			others = append(others, s)
		}
	}
	return others, nil
}

// signWith has the keys in force sign, and no other ones but those beside them.
func (d *Daemon) signWith(ctx context.Context, k *keyState) (err error) {
	vkeys, err := k.inForce.VKeys()
	if err != nil {
		return err
	}
	final := storage.Keys{Signer: k.note, PQNote: k.pqNote}
	if final.Tree, err = k.tree(k.receipt, d.signs.Tree); err != nil {
		return err
	}
	if k.pqReceipt != nil {
		if final.PQTree, err = k.tree(k.pqReceipt, d.signs.PQTree); err != nil {
			return err
		}
	}
	if final.Verifiers, err = scitt.NewCheckpointVerifiers(vkeys); err != nil {
		return err
	}
	if final.Others, err = d.beside(k.inForce.Keys); err != nil {
		return err
	}
	if err := d.sign(ctx, final); err != nil {
		return err
	}
	d.vkeys = vkeys
	return nil
}

// tree signs trees with a key: the signer that did so before, which knows its last signature, or a new one.
func (k *keyState) tree(key crypto.Signer, before *scitt.TreeSigner) (*scitt.TreeSigner, error) {
	s, err := scitt.NewTreeSigner(key, k.inForce.Issuer, k.inForce.Origin(), time.Now, nil)
	if err == nil && before != nil && before.KeyHash() == s.KeyHash() {
		return before, nil
	}
	return s, err
}

// sign has the log sign with these keys.
func (d *Daemon) sign(ctx context.Context, k storage.Keys) error {
	if err := d.log.Sign(ctx, k); err != nil {
		return err
	}
	d.signs = k
	return nil
}

// keepTaking takes the keys until it succeeds or the service ends: what keeps it may be a
// full disk, or witnesses that do not answer.
func (d *Daemon) keepTaking(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		d.rekeying.Lock()
		err := d.takeKeys(ctx)
		d.rekeying.Unlock()
		if err == nil {
			d.logger.Info("the log's keys are those that it announces")
			return
		}
		d.logger.Error("the log does not sign with the keys that it announces yet; will keep trying", "err", err)
	}
}

// followShown takes the keys that the writer shows in the log's files, as any reader of the log
// does: the newest checkpoint is by them, extends what is known, and the log's keys statements
// lead to them.
func (d *Daemon) followShown(ctx context.Context) error {
	d.rekeying.Lock()
	defer d.rekeying.Unlock()
	now := d.ShownKeys()
	known := now.Statements[len(now.Statements)-1]
	c, err := d.shown(ctx)
	if err != nil || len(c.Keys) == 0 || c.Keys[len(c.Keys)-1].EntryID == known.EntryID {
		return err
	}
	verifiers, err := scitt.NewCheckpointVerifiers(c.CheckpointKeys)
	if err != nil {
		return err
	}
	view, err := tiles.NewLog(d.place, verifiers).Latest(ctx)
	if err == nil {
		err = view.Consistency(ctx, d.log.Published().Checkpoint)
	}
	if err != nil {
		return err
	}
	followed, err := view.FollowKeys(ctx, &known, c.Keys)
	if err != nil {
		return err
	}
	last := followed[len(followed)-1]
	vkeys, err := last.VKeys()
	if err != nil {
		return err
	}
	if !slices.Equal(vkeys, c.CheckpointKeys) {
		return fmt.Errorf("%w: the configuration shows other keys than entry %d announces", tiles.ErrKeys, c.Keys[len(c.Keys)-1].Index)
	}
	k := d.learn(append(slices.Clone(d.keyed.Load().statements), followed[1:]...))
	if k.missing == nil {
		err = d.signWith(ctx, k)
	} else {
		d.logger.Error("this replica cannot become the writer: it does not have the log's keys", "err", k.missing)
		next := d.signs
		next.Verifiers = verifiers
		err = d.sign(ctx, next)
	}
	if err != nil {
		return err
	}
	d.ShowKeys(personality.Keys{Receipt: last.ReceiptKeys(), VKeys: vkeys, Statements: c.Keys})
	return nil
}
