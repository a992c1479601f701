package scitt_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// noteVKey is the verifier key of an Ed25519 key.
func noteVKey(t testing.TB, origin string, key crypto.Signer) string {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	must(t, err)
	return vkey
}

func keySetOf(t testing.TB, keys ...crypto.Signer) (set scitt.KeySet) {
	t.Helper()
	for _, k := range keys {
		key, err := scitt.NewKey(k.Public())
		must(t, err)
		key.Algorithm, err = scitt.AlgorithmFor(k.Public()) // as a COSE_Key says it
		must(t, err)
		set = append(set, key)
	}
	return set
}

func thumbprint(t testing.TB, key crypto.Signer) []byte { return keySetOf(t, key)[0].ID }

// owner has the keys of a log, and new ones of each kind.
type owner struct {
	note, receipt, service, recovery             crypto.Signer
	newNote, newReceipt, newService, newRecovery crypto.Signer
}

func newOwner(t testing.TB) *owner {
	k := func(alg string) crypto.Signer { return newKey(t, alg) }
	return &owner{k("EdDSA"), k("ES256"), k("ES256"), k("ES256"), k("EdDSA"), k("ES256"), k("ES256"), k("EdDSA")}
}

// keys are what entry 0 announces.
func (o *owner) keys(t testing.TB) *scitt.Keys {
	return &scitt.Keys{
		Note: []string{noteVKey(t, origin, o.note)}, Receipt: keySetOf(t, o.receipt), Service: keySetOf(t, o.service),
		Recovery: [][]byte{thumbprint(t, o.recovery)},
	}
}

func keysOptions() scitt.SignOptions {
	return scitt.SignOptions{Issuer: issuer, Subject: scitt.KeysSubject(origin), Type: scitt.TypeKeys, ContentType: scitt.MediaTypeKeys}
}

func marshalKeys(t testing.TB, k *scitt.Keys) []byte {
	t.Helper()
	data, err := k.Marshal()
	must(t, err)
	return data
}

// announce signs a keys statement.
func announce(t testing.TB, by crypto.Signer, k *scitt.Keys) *scitt.Statement {
	t.Helper()
	return newStatement(t, by, keysOptions(), marshalKeys(t, k))
}

// TestKeysVectors: testdata/formats/keys.json is a chain of valid statements.
func TestKeysVectors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "testdata", "formats", "keys.json"))
	must(t, err)
	var file struct {
		Origin     string
		Statements []struct {
			Name, Payload, Entry string
			EntryID              string `json:"entry_id"`
			VKeys                []string
		}
	}
	must(t, json.Unmarshal(data, &file))
	if len(file.Statements) != 5 {
		t.Fatalf("%d statements", len(file.Statements))
	}
	var inForce *scitt.KeysInForce
	for _, v := range file.Statements {
		s, err := scitt.ParseStatement(unhex(t, v.Entry))
		must(t, err)
		if inForce == nil {
			inForce, err = scitt.FirstKeys(s, file.Origin)
		} else {
			inForce, err = inForce.Next(s)
		}
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		vkeys, err := inForce.VKeys()
		must(t, err)
		if inForce.ID.String() != v.EntryID || hex.EncodeToString(marshalKeys(t, inForce.Keys)) != v.Payload || !slices.Equal(vkeys, v.VKeys) {
			t.Errorf("%s: %v, %x, %q", v.Name, inForce.ID, marshalKeys(t, inForce.Keys), vkeys)
		}
	}
}

// TestKeysRefusals has each rule about keys that needs no other statement.
func TestKeysRefusals(t *testing.T) {
	o := newOwner(t)
	pq := newKey(t, "ML-DSA-44")
	p384, other := newKey(t, "ES384"), noteVKey(t, "other.example", o.newNote)
	for name, c := range map[string]struct {
		change func(k *scitt.Keys)
		err    error
		piece  string
	}{
		"no note key":               {func(k *scitt.Keys) { k.Note = nil }, scitt.ErrMalformed, "needs a note key"},
		"no receipt key":            {func(k *scitt.Keys) { k.Receipt = nil }, scitt.ErrMalformed, "needs a note key, a receipt key"},
		"no service key":            {func(k *scitt.Keys) { k.Service = nil }, scitt.ErrMalformed, "and a service key"},
		"note key unreadable":       {func(k *scitt.Keys) { k.Note[0] = "x" }, scitt.ErrMalformed, "note key"},
		"note key for Receipts":     {func(k *scitt.Keys) { k.Note[0] = treeVKey(t, o.newReceipt) }, scitt.ErrMalformed, "note key"},
		"note key of another log":   {func(k *scitt.Keys) { k.Note = append(k.Note, other) }, scitt.ErrMalformed, "of two logs"},
		"note key in another form":  {func(k *scitt.Keys) { k.Note[0] += "\n" }, scitt.ErrMalformed, "note key"},
		"note key twice":            {func(k *scitt.Keys) { k.Note = append(k.Note, k.Note[0]) }, scitt.ErrMalformed, "in note and in note"},
		"note keys with one key id": {func(k *scitt.Keys) { k.Note = []string{seededNote(t, 2873), seededNote(t, 71083)} }, scitt.ErrMalformed, "two keys have the key id 54977aa2"},
		"receipt key Ed25519":       {func(k *scitt.Keys) { k.Receipt = keySetOf(t, o.newNote) }, scitt.ErrAlgorithm, "receipt has a key for EdDSA"},
		"receipt key P-384":         {func(k *scitt.Keys) { k.Receipt = keySetOf(t, p384) }, scitt.ErrAlgorithm, "receipt has a key for ES384"},
		"receipt key by name":       {func(k *scitt.Keys) { k.Receipt[0].ID = []byte("mine") }, scitt.ErrMalformed, "not its COSE Key Thumbprint"},
		"receipt key twice":         {func(k *scitt.Keys) { k.Receipt = append(k.Receipt, k.Receipt[0]) }, scitt.ErrMalformed, "in receipt and in receipt"},
		"receipt and service":       {func(k *scitt.Keys) { k.Service = append(k.Service, k.Receipt[0]) }, scitt.ErrMalformed, "in receipt and in service"},
		"service key Ed25519":       {func(k *scitt.Keys) { k.Service = keySetOf(t, o.newNote) }, scitt.ErrAlgorithm, "service has a key for EdDSA"},
		"post-quantum key ES256":    {func(k *scitt.Keys) { k.PQReceipt = keySetOf(t, o.newReceipt) }, scitt.ErrAlgorithm, "pq_receipt has a key for ES256"},
		"post-quantum note Ed25519": {func(k *scitt.Keys) { k.PQNote = keySetOf(t, o.newNote) }, scitt.ErrAlgorithm, "pq_note has a key for EdDSA"},
		"post-quantum key twice":    {func(k *scitt.Keys) { k.PQNote, k.PQReceipt = keySetOf(t, pq), keySetOf(t, pq) }, scitt.ErrMalformed, "in pq_note and in pq_receipt"},
		"receipt key ML-DSA-44":     {func(k *scitt.Keys) { k.Receipt = keySetOf(t, pq) }, scitt.ErrAlgorithm, "receipt has a key for ML-DSA-44"},
		"service key ML-DSA-44":     {func(k *scitt.Keys) { k.Service = keySetOf(t, pq) }, scitt.ErrAlgorithm, "service has a key for ML-DSA-44"},
		"recovery of another size":  {func(k *scitt.Keys) { k.Recovery[0] = k.Recovery[0][1:] }, scitt.ErrMalformed, "32 bytes and not 31"},
		"recovery twice":            {func(k *scitt.Keys) { k.Recovery = append(k.Recovery, k.Recovery[0]) }, scitt.ErrMalformed, "in recovery and in recovery"},
		"recovery and note":         {func(k *scitt.Keys) { k.Recovery = [][]byte{thumbprint(t, o.note)} }, scitt.ErrMalformed, "in note and in recovery"},
		"recovery and receipt":      {func(k *scitt.Keys) { k.Recovery = [][]byte{thumbprint(t, o.receipt)} }, scitt.ErrMalformed, "in receipt and in recovery"},
		"recovery and service":      {func(k *scitt.Keys) { k.Recovery = [][]byte{thumbprint(t, o.service)} }, scitt.ErrMalformed, "in service and in recovery"},
		"recovery key P-384":        {func(k *scitt.Keys) { k.RecoveryKey = &keySetOf(t, p384)[0] }, scitt.ErrAlgorithm, "recovery_key has a key for ES384"},
		"recovery key that is used": {func(k *scitt.Keys) { k.RecoveryKey = &k.Service[0] }, scitt.ErrMalformed, "in service and in recovery_key"},
		"recovery key twice":        {func(k *scitt.Keys) { k.RecoveryKey = &keySetOf(t, o.recovery)[0] }, scitt.ErrMalformed, "in recovery and in recovery_key"},
		"compromised of a size":     {func(k *scitt.Keys) { k.Compromised = []scitt.CompromisedKey{{}} }, scitt.ErrMalformed, "32 bytes and not 0"},
		"compromised and note":      {func(k *scitt.Keys) { k.Compromised = compromised(t, 0, o.note) }, scitt.ErrMalformed, "in note and in compromised"},
		"compromised and receipt":   {func(k *scitt.Keys) { k.Compromised = compromised(t, 0, o.receipt) }, scitt.ErrMalformed, "in receipt and in compromised"},
		"compromised and service":   {func(k *scitt.Keys) { k.Compromised = compromised(t, 0, o.service) }, scitt.ErrMalformed, "in service and in compromised"},
		"compromised and recovery":  {func(k *scitt.Keys) { k.Compromised = compromised(t, 0, o.recovery) }, scitt.ErrMalformed, "in recovery and in compromised"},
		"compromised twice":         {func(k *scitt.Keys) { k.Compromised = compromised(t, 0, o.newNote, o.newNote) }, scitt.ErrMalformed, "in compromised and in compromised"},
	} {
		k := o.keys(t)
		c.change(k)
		_, err := k.Marshal()
		t.Run(name, func(t *testing.T) { wantError(t, err, c.err, c.piece) })
	}
}

func compromised(t testing.TB, from uint64, keys ...crypto.Signer) (list []scitt.CompromisedKey) {
	for _, k := range keys {
		list = append(list, scitt.CompromisedKey{Thumbprint: thumbprint(t, k), From: from})
	}
	return list
}

func treeVKey(t testing.TB, key crypto.Signer) string {
	t.Helper()
	vkey, err := scitt.TreeVKey(origin, key.Public())
	must(t, err)
	return vkey
}

// seededNote is a note key by the number that it is made from.
func seededNote(t testing.TB, n uint32) string {
	return noteVKey(t, origin, ed25519.NewKeyFromSeed(append(binary.BigEndian.AppendUint32(nil, n), make([]byte, 28)...)))
}

// TestParseKeysRefusals has the encodings that are not the one of keys.
func TestParseKeysRefusals(t *testing.T) {
	o := newOwner(t)
	k := o.keys(t)
	k.Previous, k.RecoveryKey, k.Compromised = scitt.EntryID{1}, &keySetOf(t, o.newRecovery)[0], compromised(t, 7, o.newNote)
	data := marshalKeys(t, k)
	var good m
	must(t, cbor.Unmarshal(data, &good))
	service := good["service"].([]any)[0].(m)
	if again := enc(t, good); !bytes.Equal(again, data) {
		t.Fatalf("got  %x\nwant %x", again, data)
	}
	parsed, err := scitt.ParseKeys(data)
	must(t, err)
	if !reflect.DeepEqual(parsed, k) {
		t.Errorf("got %+v", parsed)
	}
	for name, c := range map[string]m{
		"no note":              {"note": nil},
		"no recovery":          {"recovery": nil},
		"recovery is null":     {"recovery": raw{0xf6}},
		"another member":       {"x": 1},
		"member in capitals":   {"note": nil, "NOTE": good["note"]},
		"integer label":        {1: 2},
		"note is text":         {"note": "x"},
		"note is bytes":        {"note": []any{[]byte("x")}},
		"receipt is not a key": {"receipt": []any{1}},
		"receipt is empty":     {"receipt": []any{}},
		"private key":          {"service": []any{with(service, m{int64(-4): []byte{1}})}},
		"key without alg":      {"service": []any{with(service, m{uint64(3): nil})}},
		"key without kid":      {"service": []any{with(service, m{uint64(2): nil})}},
		"key with more":        {"service": []any{with(service, m{uint64(4): []any{2}})}},
		"recovery is text":     {"recovery": []any{strings.Repeat("x", 32)}},
		"previous too short":   {"previous": make([]byte, 31)},
		"previous is empty":    {"previous": []byte{}},
		"previous is zero":     {"previous": make([]byte, 32)},
		"previous is null":     {"previous": raw{0xf6}},
		"recovery_key null":    {"recovery_key": raw{0xf6}},
		"recovery_key empty":   {"recovery_key": m{}},
		"compromised empty":    {"compromised": []any{}},
		"compromised alone":    {"compromised": []any{[]any{make([]byte, 32)}}},
		"compromised before":   {"compromised": []any{[]any{make([]byte, 32), -1}}},
		"compromised more":     {"compromised": []any{[]any{make([]byte, 32), 1, 1}}},
		"compromised map":      {"compromised": []any{m{"thumbprint": make([]byte, 32), "from": 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			if k, err := scitt.ParseKeys(enc(t, with(good, c))); !errors.Is(err, scitt.ErrMalformed) && !errors.Is(err, scitt.ErrAlgorithm) {
				t.Errorf("got %+v, %v", k, err)
			}
		})
	}
	for name, data := range map[string][]byte{
		"empty": nil, "trailing": append(bytes.Clone(data), 0), "cut": data[:len(data)-1], "null": {0xf6}, "tagged": append([]byte{0xc1}, data...),
		"indefinite": append(append([]byte{0xbf}, data[1:]...), 0xff),
		"long head":  append([]byte{0xb8, data[0] & 31}, data[1:]...),
		"twice":      append(append([]byte{data[0] + 1}, data[1:]...), append(enc(t, "note"), 0x80)...),
	} {
		t.Run(name, func(t *testing.T) {
			if k, err := scitt.ParseKeys(data); !errors.Is(err, scitt.ErrMalformed) {
				t.Errorf("got %+v, %v", k, err)
			}
		})
	}
	// Members in another order.
	note := append(enc(t, "note"), enc(t, k.Note)...)
	rest, ok := bytes.CutPrefix(data[1:], note)
	if !ok {
		t.Fatal("note is not the first member")
	}
	_, err = scitt.ParseKeys(slices.Concat(data[:1], rest, note))
	wantError(t, err, scitt.ErrMalformed, "deterministic")
}
