package scitt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// KeysInForce is a keys statement that is in force.
type KeysInForce struct {
	*Keys
	ID     EntryID
	Issuer string // the service
}

// ErrEarlier reports a log of a version before the first release.
var ErrEarlier = errors.New("the log was made by an earlier version, whose receipt key signs everything and whose entry ids depend on signatures")

// KeysFrom reads a keys statement of the log with this origin. It does not
// judge whether it may come into force: it is for one whose id is known to be
// that of a valid one. Errors wrap ErrMalformed, ErrAlgorithm or ErrEarlier.
func KeysFrom(s *Statement, origin string) (*KeysInForce, error) {
	switch {
	case s.Type != TypeKeys:
		return nil, malformed("the statement has typ %q, and a keys statement has %s", s.Type, TypeKeys)
	case s.Subject != KeysSubject(origin):
		return nil, malformed("the keys statement has the subject %q, and those of this log have %q", s.Subject, KeysSubject(origin))
	case s.ContentType == "application/cose-key-set":
		return nil, ErrEarlier
	case s.Envelope != nil || s.ContentType != MediaTypeKeys:
		return nil, malformed("the content type of the keys statement is %q and not %s", s.ContentType, MediaTypeKeys)
	}
	k, err := ParseKeys(s.Payload)
	if err != nil {
		return nil, err
	}
	if k.Origin() != origin {
		return nil, malformed("the note keys are of the log %q and not of %q", k.Origin(), origin)
	}
	return &KeysInForce{k, s.ID(), s.Issuer}, nil
}

// FirstKeys judges entry 0 of the log with this origin: it announces keys, and
// one of its service keys signed it. That says nothing about whose keys they
// are: anybody can announce somebody else's. Errors wrap ErrMalformed,
// ErrAlgorithm, ErrUnknownKey, ErrSignature or ErrEarlier.
func FirstKeys(s *Statement, origin string) (*KeysInForce, error) {
	k, err := KeysFrom(s, origin)
	if err != nil {
		return nil, err
	}
	if k.Previous != (EntryID{}) || k.RecoveryKey != nil || k.Compromised != nil {
		return nil, malformed("the first keys statement of a log has no previous, recovery_key or compromised")
	}
	if err := k.Service.Verify(s); err != nil {
		return nil, err
	}
	return k, nil
}

// Next judges a keys statement that is to replace k. It returns the new keys,
// which are in force for the entries after it. It is a pure function. Errors
// wrap ErrMalformed, ErrAlgorithm, ErrUnknownKey or ErrSignature; k stays in
// force then.
func (k *KeysInForce) Next(s *Statement) (*KeysInForce, error) {
	next, err := KeysFrom(s, k.Origin())
	if err == nil {
		err = k.admit(s, next)
	}
	if err != nil {
		return nil, err
	}
	return next, nil
}

func (k *KeysInForce) admit(s *Statement, next *KeysInForce) error {
	switch {
	case next.Issuer != k.Issuer:
		return malformed("the issuer of the keys statement is %q and not the service, %q", next.Issuer, k.Issuer)
	case next.Previous != k.ID:
		return malformed("the keys statement replaces %v, and %v is in force: it is a replay, or another change came first", next.Previous, k.ID)
	case next.RecoveryKey != nil:
		if !slices.ContainsFunc(k.Recovery, func(r []byte) bool { return bytes.Equal(r, next.RecoveryKey.ID) }) {
			return fmt.Errorf("%w: the recovery key %x was not announced", ErrUnknownKey, next.RecoveryKey.ID)
		}
		return KeySet{*next.RecoveryKey}.Verify(s)
	}
	if err := k.Service.Verify(s); err != nil {
		return err
	}
	return k.keptBy(next.Keys)
}

// keptBy holds a change by a service key to what it may change.
func (k *Keys) keptBy(next *Keys) error {
	same := func(a, b Key) bool { return bytes.Equal(a.ID, b.ID) }
	if !slices.EqualFunc(k.Service, next.Service, same) {
		return malformed("the service keys change, which only a recovery key may sign")
	}
	if !slices.EqualFunc(k.Recovery, next.Recovery, bytes.Equal) {
		return malformed("the recovery keys change, which only a recovery key may sign")
	}
	compromised := map[string]uint64{}
	for _, c := range next.Compromised {
		compromised[string(c.Thumbprint)] = c.From
	}
	for _, c := range k.Compromised {
		if from, ok := compromised[string(c.Thumbprint)]; !ok || from > c.From {
			return malformed("the key %x was compromised from entry %d on, which only a recovery key may take back", c.Thumbprint, c.From)
		}
	}
	announced := next.thumbprints()
	for thumbprint := range k.thumbprints() {
		if _, ok := compromised[thumbprint]; !ok && !announced[thumbprint] {
			return malformed("the key %s is neither kept nor compromised, so that what it signed would not verify any more", hex.EncodeToString([]byte(thumbprint)))
		}
	}
	return nil
}

// thumbprints are those of the keys of checkpoints and Receipts.
func (k *Keys) thumbprints() map[string]bool {
	set := map[string]bool{}
	for _, vkey := range k.Note {
		if key, err := noteKey(vkey); err == nil { // which it was when it was parsed
			set[string(key.ID)] = true
		}
	}
	for _, key := range slices.Concat(k.Receipt, k.PQNote, k.PQReceipt) {
		set[string(key.ID)] = true
	}
	return set
}
