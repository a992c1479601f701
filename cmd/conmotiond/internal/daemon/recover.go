package daemon

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// Recovery says which keys a keys statement by a recovery key announces. Keys are files or
// URIs (package keys), and of all but RecoveryKey a PEM file with the public half is enough.
type Recovery struct {
	// Open opens the private key that a flag names.
	Open         func(ctx context.Context, flag, uri string) (crypto.Signer, error)
	Notice       func(format string, args ...any) // what the user should know
	Log          string                           // its files: a directory or a URL
	RecoveryKey  string                           // file of the recovery key, which signs and is not used again
	NextRecovery string                           // file of the recovery key that is announced in its place
	ServiceKey   string                           // file of the service key, which replaces all others
	// NoteKey and ReceiptKey are files of the keys that sign from then on; "" for those
	// that the log announces.
	NoteKey, ReceiptKey string
	// Compromised are THUMBPRINT=INDEX: keys that others may have, from that entry on.
	Compromised []string
}

// Recover signs a keys statement with a recovery key. It changes nothing and needs no service:
// the statement is for the management interface.
func Recover(ctx context.Context, r Recovery) ([]byte, error) {
	all, err := announcedBy(ctx, r.Log)
	if err != nil {
		return nil, err
	}
	inForce := all[len(all)-1]
	signer, err := r.Open(ctx, "recovery-key", r.RecoveryKey)
	if err != nil {
		return nil, err
	}
	by, err := announcedKey(scitt.Key{Public: signer.Public()})
	if err != nil {
		return nil, err
	}
	next := *inForce.Keys
	next.Previous, next.RecoveryKey = inForce.ID, &by
	next.Recovery = slices.DeleteFunc(slices.Clone(next.Recovery), func(id []byte) bool { return bytes.Equal(id, by.ID) })
	if err := r.replace(ctx, &next); err != nil {
		return nil, err
	}
	if err := r.freshService(all, next.Service[0]); err != nil {
		return nil, err
	}
	payload, err := next.Marshal()
	if err != nil {
		return nil, err
	}
	signed, err := scitt.SignStatement(signer, scitt.SignOptions{
		Issuer: inForce.Issuer, Subject: scitt.KeysSubject(next.Origin()), Type: scitt.TypeKeys, ContentType: scitt.MediaTypeKeys, IssuedAt: time.Now(),
	}, payload)
	if err != nil {
		return nil, err
	}
	st, err := scitt.ParseStatement(signed)
	if err == nil {
		_, err = inForce.Next(st)
	}
	return signed, err
}

// freshService refuses a service key that was replaced before, and says of one in force
// that it stays: a thief of it goes on.
func (r Recovery) freshService(all []*scitt.KeysInForce, service scitt.Key) error {
	is := func(key scitt.Key) bool { return bytes.Equal(key.ID, service.ID) }
	for i, k := range slices.Backward(all) {
		switch {
		case !slices.ContainsFunc(k.Service, is):
		case i < len(all)-1:
			return fmt.Errorf("--service-key: %x was a service key of this log before, and was replaced: make a new one with conmotion keygen", service.ID)
		default:
			r.Notice("notice: --service-key is the service key in force, so it stays: if others may have it, make a new one with conmotion keygen")
			return nil
		}
	}
	return nil
}

// announcedBy are all keys statements that a log shows in its files. Nothing vouches for them: what is
// signed for keys that are not in force is refused.
func announcedBy(ctx context.Context, location string) ([]*scitt.KeysInForce, error) {
	log, err := party.Open(ctx, location, party.Options{})
	if err != nil {
		return nil, fmt.Errorf("--log: %w", err)
	}
	if log.Configuration == nil {
		return nil, fmt.Errorf("--log: %s shows no keys statements", location)
	}
	all, err := log.View.FollowKeys(ctx, nil, log.Configuration.Keys)
	if err != nil {
		return nil, fmt.Errorf("--log: %w", err)
	}
	return all, nil
}

// replace puts the keys of the files into what is announced.
func (r Recovery) replace(ctx context.Context, k *scitt.Keys) error {
	service, err := r.publicKey(ctx, "service-key", r.ServiceKey)
	if err != nil {
		return err
	}
	k.Service = scitt.KeySet{service}
	recovery, err := r.publicKey(ctx, "next-recovery", r.NextRecovery)
	if err != nil {
		return err
	}
	k.Recovery = append(k.Recovery, recovery.ID)
	origin := k.Origin()
	if r.NoteKey != "" {
		key, err := r.publicKey(ctx, "note-key", r.NoteKey)
		if err != nil {
			return err
		}
		vkey, err := scitt.LogVKey(origin, key.Public)
		if err == nil {
			err = drop(k, key.ID)
		}
		if err != nil {
			return err
		}
		k.Note = append([]string{vkey}, k.Note...)
	}
	if r.ReceiptKey != "" {
		key, err := r.publicKey(ctx, "receipt-key", r.ReceiptKey)
		if err == nil {
			err = drop(k, key.ID)
		}
		if err != nil {
			return err
		}
		k.Receipt = append(scitt.KeySet{key}, k.Receipt...)
	}
	for _, c := range r.Compromised {
		thumbprint, index, _ := strings.Cut(c, "=")
		id, err := hex.DecodeString(thumbprint)
		from, nerr := strconv.ParseUint(index, 10, 64)
		if err != nil || nerr != nil {
			return fmt.Errorf("--compromised %q is not THUMBPRINT=INDEX", c)
		}
		if err := drop(k, id); err != nil {
			return err
		}
		k.Compromised = append(k.Compromised, scitt.CompromisedKey{Thumbprint: id, From: from})
	}
	if len(k.Note) == 0 || len(k.Receipt) == 0 {
		return errors.New("the only key is compromised: --note-key or --receipt-key gives the one that takes its place")
	}
	return nil
}

// drop takes a key out of those of checkpoints and Receipts, and of those that are compromised.
func drop(k *scitt.Keys, id []byte) error {
	notes, err := k.NoteKeys()
	if err != nil {
		return err
	}
	var kept []string
	for i, key := range notes {
		if !bytes.Equal(key.ID, id) {
			kept = append(kept, k.Note[i])
		}
	}
	k.Note = kept
	for _, purpose := range []string{purposeReceipt, purposePQNote, purposePQReceipt} {
		list := listOf(k, purpose)
		*list = slices.DeleteFunc(slices.Clone(*list), func(key scitt.Key) bool { return bytes.Equal(key.ID, id) })
	}
	k.Compromised = slices.DeleteFunc(slices.Clone(k.Compromised), func(c scitt.CompromisedKey) bool { return bytes.Equal(c.Thumbprint, id) })
	return nil
}

// publicKey is the public half of a key, as a keys statement has it.
func (r Recovery) publicKey(ctx context.Context, flag, uri string) (scitt.Key, error) {
	if uri == "" {
		return scitt.Key{}, fmt.Errorf("--%s: give the file or the URI of the key", flag)
	}
	if data, err := durable.ReadFile(uri); err == nil {
		if key, err := scitt.ParsePublicKey(data); err == nil {
			return announcedKey(key)
		}
	}
	private, err := r.Open(ctx, flag, uri)
	if err != nil {
		return scitt.Key{}, err
	}
	return announcedKey(scitt.Key{Public: private.Public()})
}

// announcedKey is a key under its thumbprint.
func announcedKey(key scitt.Key) (scitt.Key, error) {
	key, err := scitt.NewKey(key.Public)
	if err == nil {
		key.Algorithm, err = scitt.AlgorithmFor(key.Public)
	}
	return key, err
}
