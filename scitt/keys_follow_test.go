package scitt_test

import (
	"bytes"
	"crypto"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// TestFirstKeys has each rule about entry 0.
func TestFirstKeys(t *testing.T) {
	o := newOwner(t)
	good := announce(t, o.service, o.keys(t))
	first, err := scitt.FirstKeys(good, origin)
	must(t, err)
	if first.ID != good.ID() || first.Issuer != issuer || !reflect.DeepEqual(first.Keys, o.keys(t)) {
		t.Errorf("got %+v", first)
	}
	signed := func(o scitt.SignOptions, by crypto.Signer, k *scitt.Keys) *scitt.Statement {
		return newStatement(t, by, o, marshalKeys(t, k))
	}
	but := func(change func(*scitt.SignOptions)) *scitt.Statement {
		opts := keysOptions()
		change(&opts)
		return signed(opts, o.service, o.keys(t))
	}
	changed := func(change func(*scitt.Keys)) *scitt.Statement {
		k := o.keys(t)
		change(k)
		return announce(t, o.service, k)
	}
	for name, c := range map[string]struct {
		s     *scitt.Statement
		err   error
		piece string
	}{
		"type":                      {but(func(o *scitt.SignOptions) { o.Type = scitt.TypePolicy }), scitt.ErrMalformed, "typ"},
		"subject":                   {but(func(o *scitt.SignOptions) { o.Subject = scitt.KeysSubject("other.example") }), scitt.ErrMalformed, "subject"},
		"content type":              {but(func(o *scitt.SignOptions) { o.ContentType = "application/cbor" }), scitt.ErrMalformed, "content type"},
		"of an earlier version":     {but(func(o *scitt.SignOptions) { o.ContentType = "application/cose-key-set" }), scitt.ErrEarlier, "an earlier version"},
		"hash envelope":             {but(func(o *scitt.SignOptions) { o.Hash = true }), scitt.ErrMalformed, "content type"},
		"payload":                   {newStatement(t, o.service, keysOptions(), []byte("x")), scitt.ErrMalformed, "not the keys"},
		"note key of another log":   {changed(func(k *scitt.Keys) { k.Note = []string{noteVKey(t, "other.example", o.note)} }), scitt.ErrMalformed, "note keys are of the log"},
		"previous":                  {changed(func(k *scitt.Keys) { k.Previous = good.ID() }), scitt.ErrMalformed, "no previous"},
		"recovery key":              {changed(func(k *scitt.Keys) { k.RecoveryKey = &keySetOf(t, o.newRecovery)[0] }), scitt.ErrMalformed, "no previous, recovery_key"},
		"compromised":               {changed(func(k *scitt.Keys) { k.Compromised = compromised(t, 0, o.newNote) }), scitt.ErrMalformed, "or compromised"},
		"signed by the note key":    {announce(t, o.note, o.keys(t)), scitt.ErrUnknownKey, "kid"},
		"signed by the receipt key": {announce(t, o.receipt, o.keys(t)), scitt.ErrUnknownKey, "kid"},
		"signed by a recovery key":  {announce(t, o.recovery, o.keys(t)), scitt.ErrUnknownKey, "kid"},
		"tampered":                  {tampered(t, good), scitt.ErrSignature, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := scitt.FirstKeys(c.s, origin)
			wantError(t, err, c.err, c.piece)
			if k != nil {
				t.Error("refused keys came back")
			}
		})
	}
}

// tampered is the statement with another signature.
func tampered(t testing.TB, s *scitt.Statement) *scitt.Statement {
	t.Helper()
	data := bytes.Clone(s.Entry())
	data[len(data)-1] ^= 1
	s, err := scitt.ParseStatement(data)
	must(t, err)
	return s
}

// TestNextKeys has each rule about a keys statement that replaces another.
func TestNextKeys(t *testing.T) {
	o, stranger := newOwner(t), newOwner(t)
	base := o.keys(t)
	base.Note = append(base.Note, noteVKey(t, origin, stranger.note)) // an earlier one
	first, err := scitt.FirstKeys(announce(t, o.service, base), origin)
	must(t, err)
	// A second statement, so that something is compromised.
	lost := stranger.receipt
	second := func(change func(*scitt.Keys)) *scitt.Keys {
		k := *first.Keys
		k.Note, k.Receipt, k.Service = slices.Clone(k.Note), slices.Clone(k.Receipt), slices.Clone(k.Service)
		k.Recovery, k.Previous, k.Compromised = slices.Clone(k.Recovery), first.ID, compromised(t, 10, lost)
		change(&k)
		return &k
	}
	asIs := func(*scitt.Keys) {}
	inForce, err := first.Next(announce(t, o.service, second(asIs)))
	must(t, err)
	next := func(change func(*scitt.Keys)) *scitt.Keys {
		return second(func(k *scitt.Keys) { k.Previous = inForce.ID; change(k) })
	}
	recovered := func(change func(*scitt.Keys)) *scitt.Keys {
		return next(func(k *scitt.Keys) {
			k.RecoveryKey, k.Recovery = &keySetOf(t, o.recovery)[0], [][]byte{thumbprint(t, o.newRecovery)}
			change(k)
		})
	}
	by := func(key crypto.Signer, k *scitt.Keys) *scitt.Statement { return announce(t, key, k) }
	otherIssuer := keysOptions()
	otherIssuer.Issuer = "https://other.example"
	for name, c := range map[string]struct {
		s     *scitt.Statement
		err   error // nil: it is valid
		piece string
	}{
		// What a service key may do.
		"nothing changes":        {by(o.service, next(asIs)), nil, ""},
		"a note key":             {by(o.service, next(func(k *scitt.Keys) { k.Note = append([]string{noteVKey(t, origin, o.newNote)}, k.Note...) })), nil, ""},
		"a receipt key":          {by(o.service, next(func(k *scitt.Keys) { k.Receipt = append(keySetOf(t, o.newReceipt), k.Receipt...) })), nil, ""},
		"back to an earlier key": {by(o.service, next(func(k *scitt.Keys) { slices.Reverse(k.Note) })), nil, ""},
		"a stolen receipt key": {by(o.service, next(func(k *scitt.Keys) {
			k.Receipt, k.Compromised = keySetOf(t, o.newReceipt), append(k.Compromised, compromised(t, 3, o.receipt)...)
		})), nil, ""},
		"a stolen note key": {by(o.service, next(func(k *scitt.Keys) {
			k.Note, k.Compromised = k.Note[1:], append(k.Compromised, compromised(t, 3, o.note)...)
		})), nil, ""},
		"stolen earlier than thought": {by(o.service, next(func(k *scitt.Keys) { k.Compromised[0].From = 9 })), nil, ""},

		// And what not, as a thief of it may try.
		"another service key":   {by(o.service, next(func(k *scitt.Keys) { k.Service = keySetOf(t, stranger.service) })), scitt.ErrMalformed, "service keys change"},
		"one more service key":  {by(o.service, next(func(k *scitt.Keys) { k.Service = append(k.Service, keySetOf(t, stranger.service)...) })), scitt.ErrMalformed, "service keys change"},
		"another recovery key":  {by(o.service, next(func(k *scitt.Keys) { k.Recovery[0] = thumbprint(t, stranger.recovery) })), scitt.ErrMalformed, "recovery keys change"},
		"one more recovery key": {by(o.service, next(func(k *scitt.Keys) { k.Recovery = append(k.Recovery, thumbprint(t, stranger.recovery)) })), scitt.ErrMalformed, "recovery keys change"},
		"no recovery key":       {by(o.service, next(func(k *scitt.Keys) { k.Recovery = nil })), scitt.ErrMalformed, "recovery keys change"},
		"recovery key compromised": {by(o.service, next(func(k *scitt.Keys) {
			k.Recovery, k.Compromised = nil, append(k.Compromised, compromised(t, 0, o.recovery)...)
		})), scitt.ErrMalformed, "recovery keys change"},
		"service key compromised": {by(o.service, next(func(k *scitt.Keys) {
			k.Service, k.Compromised = keySetOf(t, o.newService), append(k.Compromised, compromised(t, 0, o.service)...)
		})), scitt.ErrMalformed, "service keys change"},
		"compromised taken back":   {by(o.service, next(func(k *scitt.Keys) { k.Compromised = nil })), scitt.ErrMalformed, "may take back"},
		"compromised later":        {by(o.service, next(func(k *scitt.Keys) { k.Compromised[0].From++ })), scitt.ErrMalformed, "may take back"},
		"compromised in use again": {by(o.service, next(func(k *scitt.Keys) { k.Compromised, k.Receipt = nil, append(k.Receipt, keySetOf(t, lost)...) })), scitt.ErrMalformed, "may take back"},
		"a note key gone":          {by(o.service, next(func(k *scitt.Keys) { k.Note = k.Note[:1] })), scitt.ErrMalformed, "neither kept nor compromised"},
		"a receipt key gone":       {by(o.service, next(func(k *scitt.Keys) { k.Receipt = keySetOf(t, o.newReceipt) })), scitt.ErrMalformed, "neither kept nor compromised"},

		// Who may sign, and for which log and place.
		"by the note key":               {by(o.note, next(asIs)), scitt.ErrUnknownKey, "kid"},
		"by the receipt key":            {by(o.receipt, next(asIs)), scitt.ErrUnknownKey, "kid"},
		"by its own new service key":    {by(o.newService, next(func(k *scitt.Keys) { k.Service = keySetOf(t, o.newService) })), scitt.ErrUnknownKey, "kid"},
		"by a stranger":                 {by(stranger.service, next(asIs)), scitt.ErrUnknownKey, "kid"},
		"tampered":                      {tampered(t, by(o.service, next(asIs))), scitt.ErrSignature, ""},
		"without previous":              {by(o.service, next(func(k *scitt.Keys) { k.Previous = scitt.EntryID{} })), scitt.ErrMalformed, "replay"},
		"replay of the one in force":    {by(o.service, second(asIs)), scitt.ErrMalformed, "replay"},
		"replay of entry 0":             {by(o.service, base), scitt.ErrMalformed, "replay"},
		"previous of another log":       {by(o.service, next(func(k *scitt.Keys) { k.Previous = scitt.EntryID{1} })), scitt.ErrMalformed, "replay"},
		"issuer":                        {newStatement(t, o.service, otherIssuer, marshalKeys(t, next(asIs))), scitt.ErrMalformed, "issuer"},
		"type":                          {newStatement(t, o.service, scitt.SignOptions{Issuer: issuer, Subject: "x"}, marshalKeys(t, next(asIs))), scitt.ErrMalformed, "typ"},
		"payload":                       {newStatement(t, o.service, keysOptions(), []byte{0xa0}), scitt.ErrMalformed, "needs a note key"},
		"all note keys of another name": {by(o.service, next(func(k *scitt.Keys) { k.Note = []string{noteVKey(t, "other.example", o.newNote)} })), scitt.ErrMalformed, "of the log"},

		// Recovery.
		"a new service key":            {by(o.recovery, recovered(func(k *scitt.Keys) { k.Service = keySetOf(t, o.newService) })), nil, ""},
		"everything new":               {by(o.recovery, recovered(func(k *scitt.Keys) { *k = *recoverAll(t, o, k) })), nil, ""},
		"the thief's words taken back": {by(o.recovery, recovered(func(k *scitt.Keys) { k.Compromised, k.Receipt = nil, append(k.Receipt, keySetOf(t, lost)...) })), nil, ""},
		"recovery not named":           {by(o.recovery, next(asIs)), scitt.ErrUnknownKey, "kid"},
		"recovery named, service signs": {by(o.service, recovered(func(k *scitt.Keys) { k.Service = keySetOf(t, o.newService) })), scitt.ErrUnknownKey,
			"kid"},
		"recovery by a stranger": {by(stranger.recovery, recovered(func(k *scitt.Keys) { k.RecoveryKey = &keySetOf(t, stranger.recovery)[0] })), scitt.ErrUnknownKey,
			"was not announced"},
		"recovery of the key that it announces": {by(o.newRecovery, recovered(func(k *scitt.Keys) {
			k.RecoveryKey, k.Recovery = &keySetOf(t, o.newRecovery)[0], [][]byte{thumbprint(t, stranger.recovery)}
		})), scitt.ErrUnknownKey, "was not announced"},
		"recovery tampered": {tampered(t, by(o.recovery, recovered(asIs))), scitt.ErrSignature, ""},
		"recovery replayed": {by(o.recovery, recovered(func(k *scitt.Keys) { k.Previous = first.ID })), scitt.ErrMalformed, "replay"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := inForce.Next(c.s)
			if c.err == nil {
				must(t, err)
				if k.ID != c.s.ID() || !bytes.Equal(marshalKeys(t, k.Keys), c.s.Payload) {
					t.Errorf("got %+v", k)
				}
				return
			}
			wantError(t, err, c.err, c.piece)
			if k != nil {
				t.Error("refused keys came back")
			}
		})
	}

	// A recovery key is used once: after that it is not announced any more.
	after, err := inForce.Next(by(o.recovery, recovered(asIs)))
	must(t, err)
	_, err = after.Next(by(o.recovery, recovered(func(k *scitt.Keys) { k.Previous = after.ID })))
	wantError(t, err, scitt.ErrUnknownKey, "was not announced")
	again := recovered(func(k *scitt.Keys) {
		k.Previous, k.RecoveryKey, k.Recovery = after.ID, &keySetOf(t, o.newRecovery)[0], [][]byte{thumbprint(t, stranger.recovery)}
	})
	_, err = after.Next(by(o.newRecovery, again))
	must(t, err)
}

// recoverAll is a log whose every key was stolen.
func recoverAll(t testing.TB, o *owner, k *scitt.Keys) *scitt.Keys {
	return &scitt.Keys{
		Note: []string{noteVKey(t, origin, o.newNote)}, Receipt: keySetOf(t, o.newReceipt), Service: keySetOf(t, o.newService),
		Recovery: k.Recovery, Previous: k.Previous, RecoveryKey: k.RecoveryKey,
		Compromised: compromised(t, 0, o.note, o.receipt, o.service),
	}
}

// TestKeysNeverFull: whoever has the service key can fill the keys as far as
// an entry holds, and the recovery key takes them back.
func TestKeysNeverFull(t *testing.T) {
	o := newOwner(t)
	inForce, err := scitt.FirstKeys(announce(t, o.service, o.keys(t)), origin)
	must(t, err)
	full := o.keys(t)
	full.Previous = inForce.ID
	for i := range (scitt.MaxEntrySize - 1200) / 36 {
		full.Compromised = append(full.Compromised, scitt.CompromisedKey{Thumbprint: fmt.Appendf(nil, "%032d", i), From: 0})
	}
	inForce, err = inForce.Next(announce(t, o.service, full))
	must(t, err)
	// The service key has no room any more for what must be kept.
	more := *full
	more.Previous = inForce.ID
	for i := range 40 {
		more.Compromised = append(more.Compromised, scitt.CompromisedKey{Thumbprint: fmt.Appendf(nil, "more%028d", i)})
	}
	_, err = scitt.SignStatement(o.service, keysOptions(), marshalKeys(t, &more))
	wantError(t, err, scitt.ErrTooLarge, "")
	back := o.keys(t)
	back.Previous, back.RecoveryKey, back.Service = inForce.ID, &keySetOf(t, o.recovery)[0], keySetOf(t, o.newService)
	back.Recovery, back.Compromised = [][]byte{thumbprint(t, o.newRecovery)}, compromised(t, 0, o.service)
	_, err = inForce.Next(announce(t, o.recovery, back))
	must(t, err)
}

func FuzzParseKeys(f *testing.F) {
	o := newOwner(f)
	k := o.keys(f)
	f.Add(marshalKeys(f, k))
	k.Previous, k.RecoveryKey, k.Compromised = scitt.EntryID{1}, &keySetOf(f, o.newRecovery)[0], compromised(f, 7, o.newNote)
	f.Add(marshalKeys(f, k))
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := scitt.ParseKeys(data)
		if err != nil {
			if scitt.ProblemOf(err) == nil {
				t.Fatalf("no answer for %v", err)
			}
			return
		}
		if again := marshalKeys(t, k); !bytes.Equal(again, data) {
			t.Fatalf("encoded again as %x", again)
		}
		vkeys, err := k.VKeys()
		must(t, err)
		if _, err := scitt.NewCheckpointVerifiers(vkeys); err != nil {
			t.Fatal(err)
		}
	})
}
