package daemon

import (
	"context"
	"crypto"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/durable"
	keyring "github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// The purposes of keys that sign while a service runs (docs/formats.md, section Keys).
const (
	purposeNote    = "note"
	purposeReceipt = "receipt"
	purposeService = "service"
	// The log has them from their first rotation on.
	purposePQNote    = "pq-note"
	purposePQReceipt = "pq-receipt"
)

// keyFiles are the files of the first keys of each purpose, and their algorithms. Those
// of later keys have something behind the name: receipt-key-1f2e3d4c.pem.
var keyFiles = map[string]struct{ name, algorithm string }{
	purposeNote: {noteKeyFile, "EdDSA"}, purposeReceipt: {receiptKeyFile, "ES256"}, purposeService: {serviceKeyFile, "ES256"},
	purposePQNote: {pqNoteFile, "ML-DSA-44"}, purposePQReceipt: {pqReceiptFile, "ML-DSA-44"},
}

// ring are the private keys that an instance has for one purpose. The log says which of them signs.
type ring []crypto.Signer

// readRing reads the keys of a purpose. It is empty when there are no files.
func readRing(dir keyDir, purpose string) (r ring, err error) {
	kind := keyFiles[purpose]
	files, err := filepath.Glob(dir.file(strings.TrimSuffix(kind.name, ".pem") + "*.pem"))
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	for _, file := range files {
		key, err := readKey(dir, filepath.Base(file), kind.algorithm)
		if err != nil {
			return nil, err
		}
		r = append(r, key)
	}
	return r, nil
}

// find is the key with a thumbprint; nil when the instance does not have it.
func (r ring) find(thumbprint []byte) crypto.Signer {
	for _, key := range r {
		if own, err := scitt.Thumbprint(key.Public()); err == nil && string(own) == string(thumbprint) {
			return key
		}
	}
	return nil
}

// addKey takes a new key of a purpose into the directory: that in a file or with a URI, or
// one that it makes where file is "". It returns one that is there already as it is. A crash leaves the
// whole file, which signs nothing before the log announces its key, or none. made is that
// file, when it was not there.
//
// A directory that instances share is not written to: all of them need the key first.
func addKey(dir keyDir, shared bool, purpose, file string) (key crypto.Signer, made string, err error) {
	kind := keyFiles[purpose]
	var data []byte
	switch {
	case file == "" && shared:
		err = fmt.Errorf("--to: give the file or the URI of the new %s key, whose file every instance has in its --keys already", purpose)
	case file == "":
		if key, err = scitt.GenerateKey(kind.algorithm); err == nil {
			data, err = scitt.MarshalPrivateKey(key)
		}
	default:
		label, _, _ := strings.Cut(kind.name, "-key")
		if key, err = openKey(dir, file, label, kind.algorithm); err != nil {
			return nil, "", err
		}
		if data = []byte(file + "\n"); keyring.Reference(data) == "" { // not a URI
			data, err = durable.ReadFile(file)
		}
	}
	if err != nil {
		return nil, "", err
	}
	thumbprint, err := scitt.Thumbprint(key.Public())
	if err != nil {
		return nil, "", err
	}
	have, err := readRing(dir, purpose)
	if err != nil || have.find(thumbprint) != nil {
		return key, "", err
	}
	name := laterFile(purpose, thumbprint)
	if shared {
		return nil, "", fmt.Errorf("the new %s key is not in %s: put it there as %s, at every instance, before it is announced", purpose, dir, name)
	}
	made = dir.file(name)
	return key, made, durable.WriteFile(made, data, 0o600)
}

// laterFile is the name of the file of a key that a rotation brought.
func laterFile(purpose string, thumbprint []byte) string {
	return fmt.Sprintf("%s-%x.pem", strings.TrimSuffix(keyFiles[purpose].name, ".pem"), thumbprint[:4])
}

// fileOf is the name of the file of a key that a keys statement announces.
func fileOf(purpose string, k *scitt.Keys, thumbprint []byte) string {
	if k.Previous == (scitt.EntryID{}) {
		return keyFiles[purpose].name
	}
	return fmt.Sprintf("%s, or %s where it is the log's first one", laterFile(purpose, thumbprint), keyFiles[purpose].name)
}

// signing are the private keys with which an instance is a log's writer.
type signing struct {
	note, pqNote                note.Signer // pqNote and pqReceipt are nil where the log has none
	receipt, pqReceipt, service crypto.Signer
}

// listOf are the keys of a purpose that a keys statement has as COSE_Keys.
func listOf(k *scitt.Keys, purpose string) *scitt.KeySet {
	return map[string]*scitt.KeySet{
		purposeReceipt: &k.Receipt, purposePQNote: &k.PQNote, purposePQReceipt: &k.PQReceipt, purposeService: &k.Service,
	}[purpose]
}

// signingFor finds the keys that sign by a keys statement. The error names what is missing.
func signingFor(dir keyDir, k *scitt.Keys) (s signing, err error) {
	find := func(purpose string, keys ...scitt.Key) (crypto.Signer, error) {
		r, err := readRing(dir, purpose)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if own := r.find(key.ID); own != nil {
				return own, nil
			}
		}
		return nil, fmt.Errorf("the %s key %x, which the log announces, is not in %s: put its file there, as %s", purpose, keys[0].ID, dir, fileOf(purpose, k, keys[0].ID))
	}
	notes, err := k.NoteKeys()
	if err != nil {
		return s, err
	}
	checkpoint, err := find(purposeNote, notes[0])
	if err != nil {
		return s, err
	}
	if s.receipt, err = find(purposeReceipt, k.Receipt[0]); err != nil {
		return s, err
	}
	if s.service, err = find(purposeService, k.Service...); err != nil {
		return s, err
	}
	if len(k.PQReceipt) > 0 {
		if s.pqReceipt, err = find(purposePQReceipt, k.PQReceipt[0]); err != nil {
			return s, err
		}
	}
	if len(k.PQNote) > 0 {
		pq, err := find(purposePQNote, k.PQNote[0])
		if err != nil {
			return s, err
		}
		if s.pqNote, _, err = scitt.NewNoteSigner(k.Origin(), pq); err != nil {
			return s, err
		}
	}
	s.note, _, err = scitt.NewNoteSigner(k.Origin(), checkpoint)
	return s, err
}

// signed finds the keys of this instance that signed the public checkpoint, with their
// verifier keys: whatever the log announced since, they are the ones to go on from.
func (k *keys) signed(ctx context.Context, dir keyDir, log *place, origin string) error {
	raw, err := log.Get(ctx, tiles.CheckpointPath)
	if err != nil {
		return err
	}
	if name := scitt.ClaimedOrigin(raw); name != origin {
		return fmt.Errorf("%w: the log in %s is %.80q, and the keys in %s are of %s; each log has a place of its own", storage.ErrForeign, log.name, name, dir, origin)
	}
	notes, err := readRing(dir, purposeNote)
	if err != nil {
		return err
	}
	receipts, err := readRing(dir, purposeReceipt)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		ring
		file string
	}{{notes, noteKeyFile}, {receipts, receiptKeyFile}} {
		if len(r.ring) == 0 {
			return gone(dir.file(r.file))
		}
	}
	trees := make([]string, len(receipts))
	for i, key := range receipts {
		if trees[i], err = scitt.TreeVKey(origin, key.Public()); err != nil {
			return fmt.Errorf("receipt key: %w", err)
		}
	}
	for _, key := range notes {
		var vkey string
		if k.note, vkey, err = scitt.NewNoteSigner(origin, key); err != nil {
			return err
		}
		k.vkeys = append([]string{vkey}, trees...)
		verifiers, verr := scitt.NewCheckpointVerifiers(k.vkeys)
		if verr != nil {
			return verr
		}
		var cp *scitt.Checkpoint
		if cp, err = verifiers.Open(raw); err != nil {
			continue
		}
		if cp.Tree == nil {
			return fmt.Errorf("the public checkpoint of %s: no receipt key in %s signed it: put the one back that did, as %s or with more behind that name", log.name, dir, receiptKeyFile)
		}
		k.receipt = receipts.find(cp.Tree.KeyID)
		return nil
	}
	return fmt.Errorf("the public checkpoint of %s: it is not by this log's keys in %s: %w", log.name, dir, err)
}
