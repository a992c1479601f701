package daemon

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"

	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/scitt"
)

// KeysResult is what a change of keys by the management interface came to.
type KeysResult struct {
	EntryID string       `json:"entry_id"` // of the keys statement in force now
	Index   uint64       `json:"index"`
	Keys    []ManagedKey `json:"keys"`
}

// ManagedKey is a key that the log announced, with the entries that it is for.
type ManagedKey struct {
	Purpose    string `json:"purpose"`
	Thumbprint string `json:"thumbprint"` // hexadecimal
	VKey       string `json:"vkey,omitempty"`
	// From is the entry that announced it, and To the one that announced another in its place.
	From uint64  `json:"from"`
	To   *uint64 `json:"to,omitempty"`
	// Compromised is the index from which on others may have it.
	Compromised *uint64 `json:"compromised,omitempty"`
}

// KeyChange asks for a change of keys that the service key signs.
type KeyChange struct {
	// Rotate is the purpose of the key that gets a successor; Retire is the thumbprint, in
	// hexadecimal, of a key that others may have from the entry CompromisedAt on.
	Rotate        string `json:"rotate,omitempty"`
	Retire        string `json:"retire,omitempty"`
	CompromisedAt uint64 `json:"compromised_at,omitempty"`
	// To is the file of the new key, where one is needed; "" makes one in the service's
	// directory.
	To string `json:"to,omitempty"`
}

// setKeys registers a keys statement: one that a recovery key signed, or one that the service
// signs. It is in force when it is in the log; then the service signs with the new keys.
func (d *Daemon) setKeys(r *http.Request) (*KeysResult, error) {
	if why := d.log.ReadOnly(); why != nil {
		return nil, why
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPolicy))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", scitt.ErrMalformed, err)
	}
	d.rekeying.Lock()
	defer d.rekeying.Unlock()
	// Another change may have taken long, and who is gone asks again.
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if err := d.behindKeys(); err != nil {
		return nil, err
	}
	var st *scitt.Statement
	made := "" // the file of a new key
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/cose" {
		st, err = scitt.ParseStatement(body)
	} else {
		st, made, err = d.signChange(body)
	}
	var result *KeysResult
	if err == nil {
		result, err = d.registerKeys(r.Context(), st)
	}
	if refusal, ok := errors.AsType[*scitt.Problem](err); ok && refusal.Status == http.StatusBadRequest && made != "" {
		err = errors.Join(err, os.Remove(made)) // the log does not announce its key
	}
	return result, err
}

// behindKeys says that the log announces other keys than those that sign: that change comes
// first.
func (d *Daemon) behindKeys() error {
	k := d.keyed.Load()
	vkeys, err := k.inForce.VKeys()
	if err != nil {
		return err
	}
	if slices.Equal(vkeys, d.vkeys) {
		return nil
	}
	return fmt.Errorf("%w: the log announces keys that it does not sign with yet, and goes on trying: see conmotiond key list, and what the service logs", scitt.ErrUnavailable)
}

// registerKeys has the log announce keys, and signs with them. A crash leaves a log that
// announces them, and the next start signs with them, or one that does not.
func (d *Daemon) registerKeys(ctx context.Context, st *scitt.Statement) (*KeysResult, error) {
	var next *scitt.KeysInForce
	statements := d.keyed.Load().statements
	_, err := d.RegisterKeys(ctx, st, personality.Change{
		Judge: func() (err error) {
			if next, err = d.keysInForce().Next(st); err != nil {
				return refusedKeys("%w", err)
			}
			if _, err := signingFor(d.keys, next.Keys); err != nil {
				return refusedKeys("this instance could not go on: %w", err)
			}
			return nil
		},
		Done: func(r *personality.Registration) {
			d.learn(append(slices.Clone(statements), next))
			d.logger.Info("the log's keys changed", "entry", r.Index, "id", r.ID.String())
		},
	})
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if err := d.takeKeys(ctx); err != nil {
		d.kept.Go(func() { d.keepTaking(d.running) })
		return nil, fmt.Errorf("%w: the log announces the new keys and does not sign with them yet; it goes on trying: %w", scitt.ErrUnavailable, err)
	}
	return d.managedKeys(ctx)
}

func refusedKeys(format string, args ...any) error {
	return &scitt.Problem{Status: http.StatusBadRequest, Title: "Rejected", Detail: fmt.Errorf(format, args...).Error()}
}

// signChange signs the keys statement that a change asks for. The caller holds rekeying.
// It also returns the file that it made for a new key, or "".
func (d *Daemon) signChange(body []byte) (st *scitt.Statement, made string, err error) {
	var c KeyChange
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	if err := in.Decode(&c); err != nil {
		return nil, "", fmt.Errorf("%w: %w", scitt.ErrMalformed, err)
	}
	state := d.keyed.Load()
	if state.missing != nil {
		return nil, "", refusedKeys("%w", state.missing)
	}
	next := *state.inForce.Keys
	next.Previous, next.RecoveryKey = state.inForce.ID, nil
	purpose := c.Rotate
	if c.Retire != "" {
		if size := d.log.PublishedSize(); c.CompromisedAt > size {
			return nil, "", refusedKeys("the log has %d entries, and %d is none of them", size, c.CompromisedAt)
		}
		purpose, err = retire(&next, c.Retire, c.CompromisedAt)
	}
	if err == nil && purpose != "" {
		made, err = d.succeed(&next, purpose, c.To)
	}
	if err != nil {
		return nil, made, refusedKeys("%w", err)
	}
	payload, err := next.Marshal()
	if err != nil {
		return nil, made, refusedKeys("%w", err)
	}
	st, err = d.founderNow().SignKeys(payload)
	return st, made, err
}

// founderNow is the service with its key in force.
func (d *Daemon) founderNow() personality.Founder {
	f := d.founder
	f.Key = d.keyed.Load().service
	return f
}

// retire moves a key to those that are compromised, and returns its purpose when it is the one
// that signs and needs a successor.
func retire(k *scitt.Keys, thumbprint string, from uint64) (purpose string, err error) {
	id, err := hex.DecodeString(thumbprint)
	if err != nil {
		return "", fmt.Errorf("%q is not a thumbprint", thumbprint)
	}
	notes, err := k.NoteKeys()
	if err != nil {
		return "", err
	}
	is := func(key scitt.Key) bool { return bytes.Equal(key.ID, id) }
	known := func(c scitt.CompromisedKey) bool { return bytes.Equal(c.Thumbprint, id) }
	k.Compromised = slices.Clone(k.Compromised)
	if at := slices.IndexFunc(k.Compromised, known); at >= 0 {
		k.Compromised[at].From = from
		return "", nil
	}
	k.Compromised = append(k.Compromised, scitt.CompromisedKey{Thumbprint: id, From: from})
	if at := slices.IndexFunc(notes, is); at >= 0 {
		k.Note = slices.Delete(slices.Clone(k.Note), at, at+1)
		if at == 0 {
			purpose = purposeNote
		}
		return purpose, nil
	}
	if slices.ContainsFunc(k.Service, is) {
		return "", errors.New("only a recovery key replaces a service key: see conmotiond key recover")
	}
	for _, of := range []string{purposeReceipt, purposePQNote, purposePQReceipt} {
		list := listOf(k, of)
		if at := slices.IndexFunc(*list, is); at >= 0 {
			if *list = slices.Delete(slices.Clone(*list), at, at+1); at == 0 {
				purpose = of
			}
			return purpose, nil
		}
	}
	return "", fmt.Errorf("the log announces no key %s of checkpoints or Receipts", thumbprint)
}

// succeed makes a new key the first of its purpose. It returns the file that it made, or "".
func (d *Daemon) succeed(k *scitt.Keys, purpose, file string) (made string, err error) {
	if purpose == purposeService {
		return "", errors.New("only a recovery key replaces a service key: see conmotiond key recover")
	}
	if _, ok := keyFiles[purpose]; !ok {
		return "", fmt.Errorf("%q is not note, receipt, pq-note or pq-receipt", purpose)
	}
	key, made, err := addKey(d.keys, d.sharedKeys, purpose, file)
	if err != nil {
		return made, err
	}
	if purpose == purposeNote {
		_, vkey, err := scitt.NewNoteSigner(d.Origin, key)
		k.Note = append([]string{vkey}, k.Note...)
		return made, err
	}
	public, err := scitt.NewKey(key.Public())
	list := listOf(k, purpose)
	*list = append(scitt.KeySet{public}, *list...)
	return made, err
}

// managedKeys are all keys that the log announced, in the order in which it did. It does not
// wait for what is announced to be public: that may be what somebody wants to know.
func (d *Daemon) managedKeys(ctx context.Context) (*KeysResult, error) {
	all := d.keyed.Load().statements
	places := make([]uint64, len(all))
	for i, k := range all {
		place, ok, err := d.index.Lookup(ctx, k.ID)
		if err == nil && !ok {
			err = scitt.ErrUnavailable // the index is being made anew
		}
		if err != nil {
			return nil, fmt.Errorf("keys statement %v: %w", k.ID, err)
		}
		places[i] = place.Index
	}
	at := func(i int) uint64 { return places[i] }
	out := &KeysResult{EntryID: all[len(all)-1].ID.String(), Index: at(len(all) - 1)}
	find := func(thumbprint []byte) *ManagedKey {
		i := slices.IndexFunc(out.Keys, func(k ManagedKey) bool { return k.Thumbprint == hex.EncodeToString(thumbprint) })
		if i < 0 {
			return nil
		}
		return &out.Keys[i]
	}
	for i, k := range all {
		notes, err := k.NoteKeys()
		if err != nil {
			return nil, err
		}
		now := map[string]bool{} // thumbprints of those that sign
		for _, of := range []struct {
			purpose string
			keys    []scitt.Key
			sign    int // how many of them do
		}{{purposeNote, notes, 1}, {purposeReceipt, k.Receipt, 1}, {purposePQNote, k.PQNote, 1}, {purposePQReceipt, k.PQReceipt, 1}, {purposeService, k.Service, len(k.Service)}} {
			for n, key := range of.keys {
				if n < of.sign {
					now[hex.EncodeToString(key.ID)] = true
				}
				if find(key.ID) != nil {
					continue
				}
				m := ManagedKey{Purpose: of.purpose, Thumbprint: hex.EncodeToString(key.ID), From: at(i)}
				switch of.purpose {
				case purposeNote:
					m.VKey = k.Note[n]
				case purposePQNote:
					if m.VKey, err = scitt.CosignerVKey(k.Origin(), key.Public); err != nil {
						return nil, err
					}
				}
				out.Keys = append(out.Keys, m)
			}
		}
		for n := range out.Keys {
			if m := &out.Keys[n]; now[m.Thumbprint] {
				m.To = nil
			} else if m.To == nil {
				to := at(i)
				m.To = &to
			}
		}
	}
	for _, c := range all[len(all)-1].Compromised {
		if m := find(c.Thumbprint); m != nil {
			m.Compromised = &c.From
		}
	}
	return out, nil
}
