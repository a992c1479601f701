package vectors

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// keysVector are the keys statements of a log, each valid after those before it.
type keysVector struct {
	Origin     string                `json:"origin"`
	Issuer     string                `json:"issuer"`
	Statements []keysStatementVector `json:"statements"`
}

// keysStatementVector is one of them, in hexadecimal.
type keysStatementVector struct {
	Name     string   `json:"name"`
	SignedBy string   `json:"signed_by"` // the name from which its key follows
	Payload  string   `json:"payload"`
	Entry    string   `json:"entry"`
	EntryID  string   `json:"entry_id"`
	VKeys    []string `json:"vkeys"` // that new checkpoints are opened with
}

func keys() (*keysVector, error) {
	out := &keysVector{Origin: "log.example/formats", Issuer: "https://log.example"}
	m := &keyring{origin: out.Origin}
	stolen := scitt.CompromisedKey{Thumbprint: m.set("receipt 2")[0].ID, From: 1 << 33}
	recovery := func(name string) [][]byte { return [][]byte{m.set(name)[0].ID} }
	var previous scitt.EntryID
	for _, c := range []struct {
		name, signer string
		keys         scitt.Keys
	}{
		{"entry 0", "service 1", scitt.Keys{
			Note: m.notes("note 1"), Receipt: m.set("receipt 1"), Service: m.set("service 1"), Recovery: recovery("recovery 1")}},
		{"new note and receipt keys, by the service key", "service 1", scitt.Keys{
			Note: m.notes("note 2", "note 1"), Receipt: m.set("receipt 2", "receipt 1"), Service: m.set("service 1"), Recovery: recovery("recovery 1")}},
		{"a stolen receipt key, by the service key", "service 1", scitt.Keys{
			Note: m.notes("note 2", "note 1"), Receipt: m.set("receipt 3", "receipt 1"), Service: m.set("service 1"), Recovery: recovery("recovery 1"),
			Compromised: []scitt.CompromisedKey{stolen}}},
		{"a stolen service key, by the recovery key", "recovery 1", scitt.Keys{
			Note: m.notes("note 2", "note 1"), Receipt: m.set("receipt 3", "receipt 1"), Service: m.set("service 2"), Recovery: recovery("recovery 2"),
			RecoveryKey: &m.set("recovery 1")[0], Compromised: []scitt.CompromisedKey{stolen, {Thumbprint: m.set("service 1")[0].ID}}}},
		{"post-quantum keys, by the service key", "service 2", scitt.Keys{
			Note: m.notes("note 2", "note 1"), Receipt: m.set("receipt 3", "receipt 1"), Service: m.set("service 2"), Recovery: recovery("recovery 2"),
			PQNote: m.keys("ML-DSA-44", "post-quantum note 1"), PQReceipt: m.keys("ML-DSA-44", "post-quantum receipt 1"),
			Compromised: []scitt.CompromisedKey{stolen, {Thumbprint: m.set("service 1")[0].ID}}}},
	} {
		c.keys.Previous = previous
		v, id, err := out.announce(c.signer, &c.keys)
		if err == nil {
			err = m.err
		}
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", c.name, err)
		}
		v.Name, previous = c.name, id
		out.Statements = append(out.Statements, v)
	}
	return out, nil
}

// announce makes the next statement.
func (k *keysVector) announce(signer string, keys *scitt.Keys) (v keysStatementVector, id scitt.EntryID, err error) {
	payload, err := keys.Marshal()
	if err != nil {
		return v, id, err
	}
	key, err := newKey("ES256", signer)
	if err != nil {
		return v, id, err
	}
	data, err := scitt.SignStatement(key, scitt.SignOptions{
		Issuer: k.Issuer, Subject: scitt.KeysSubject(k.Origin), Type: scitt.TypeKeys, ContentType: scitt.MediaTypeKeys,
		IssuedAt: at.Add(time.Duration(len(k.Statements)) * time.Second),
	}, payload)
	if err != nil {
		return v, id, err
	}
	s, err := scitt.ParseStatement(data)
	if err != nil {
		return v, id, err
	}
	vkeys, err := keys.VKeys()
	return keysStatementVector{
		SignedBy: signer, Payload: hex.EncodeToString(payload), Entry: hex.EncodeToString(s.Entry()), EntryID: s.ID().String(), VKeys: vkeys,
	}, s.ID(), err
}

// keyring makes public keys from names, and keeps the first error.
type keyring struct {
	origin string
	err    error
}

func (m *keyring) set(names ...string) scitt.KeySet { return m.keys("ES256", names...) }

func (m *keyring) keys(alg string, names ...string) (set scitt.KeySet) {
	for _, name := range names {
		private, err := newKey(alg, name)
		var key scitt.Key
		if err == nil {
			key, err = scitt.NewKey(private.Public())
		}
		if err != nil && m.err == nil {
			m.err = err
		}
		set = append(set, key)
	}
	return set
}

func (m *keyring) notes(names ...string) (vkeys []string) {
	for _, name := range names {
		private, err := newKey("EdDSA", name)
		vkey := ""
		if err == nil {
			vkey, err = note.NewEd25519VerifierKey(m.origin, private.Public().(ed25519.PublicKey))
		}
		if err != nil && m.err == nil {
			m.err = err
		}
		vkeys = append(vkeys, vkey)
	}
	return vkeys
}
