// Package vectors makes the test vectors of the permanent formats
// (docs/formats.md), and of Receipts of CCF ledgers, that are in testdata/formats. They are the same each time:
// keys and nonces follow from names.
package vectors

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"filippo.io/mldsa"

	"github.com/conmotion/conmotion/scitt"
)

// Files returns the vectors by file name.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	all, parsed, err := statements()
	if err != nil {
		return nil, err
	}
	log, err := newLog(parsed)
	if err != nil {
		return nil, err
	}
	pq, err := postQuantum(log, parsed[0])
	if err != nil {
		return nil, fmt.Errorf("vectors: post-quantum: %w", err)
	}
	ledger, err := newLedger(parsed)
	if err != nil {
		return nil, err
	}
	announced, err := keys()
	if err != nil {
		return nil, err
	}
	shown, err := disclosures()
	if err != nil {
		return nil, err
	}
	given, err := handover()
	if err != nil {
		return nil, err
	}
	for name, v := range map[string]any{"handover.json": given, "disclosures.json": shown, "statements.json": all, "log.json": log, "postquantum.json": pq, "ledger.json": ledger, "keys.json": announced, "problems.json": problems()} {
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		files[name] = append(data, '\n')
	}
	return files, nil
}

// at is when everything was signed.
var at = time.Unix(1_750_000_000, 0)

// statementVector is a Signed Statement with what follows from it, in hexadecimal.
type statementVector struct {
	Name      string          `json:"name"`
	Algorithm string          `json:"algorithm"`
	PublicKey string          `json:"public_key"` // COSE_Key
	Statement string          `json:"statement"`  // with something in the unprotected header
	Entry     string          `json:"entry"`
	LeafHash  string          `json:"leaf_hash"`
	EntryID   string          `json:"entry_id"`
	LowS      bool            `json:"low_s"`
	Twin      *otherSignature `json:"twin,omitempty"`
}

// otherSignature is the same content with another valid signature.
type otherSignature struct {
	Entry    string `json:"entry"`
	LeafHash string `json:"leaf_hash"`
	LowS     bool   `json:"low_s"`
}

func statements() (out []*statementVector, parsed []*scitt.Statement, err error) {
	for _, c := range []struct {
		name, alg string
		o         scitt.SignOptions
		content   string
	}{
		{"ES256", "ES256", scitt.SignOptions{ContentType: "application/json", Type: scitt.TypeRecord}, `{"state":"running"}`},
		{"ES384", "ES384", scitt.SignOptions{ContentType: "application/json", Type: scitt.TypeRecord}, `{"state":"running"}`},
		{"EdDSA", "EdDSA", scitt.SignOptions{ContentType: "application/json", Type: scitt.TypeRecord}, `{"state":"running"}`},
		{"PS256", "PS256", scitt.SignOptions{ContentType: "application/json", Type: scitt.TypeRecord}, `{"state":"running"}`},
		{"empty payload", "ES256", scitt.SignOptions{}, ""},
		{"hash envelope", "ES256", scitt.SignOptions{Hash: true, ContentType: "text/plain", Location: "https://artifacts.example/17"}, "content"},
		{"first of a chain", "ES256", scitt.SignOptions{Chain: &scitt.ChainLink{Name: "assets"}}, "0"},
		{"second of a chain", "ES256", scitt.SignOptions{Chain: &scitt.ChainLink{Name: "assets", Seq: 1}}, "1"},
		{"ES512", "ES512", scitt.SignOptions{}, "content"},
		{"PS384", "PS384", scitt.SignOptions{}, "content"},
		{"PS512", "PS512", scitt.SignOptions{}, "content"},
		{"ESP256", "ESP256", scitt.SignOptions{}, "content"},
		{"ESP384", "ESP384", scitt.SignOptions{}, "content"},
		{"ESP512", "ESP512", scitt.SignOptions{}, "content"},
		{"Ed25519", "Ed25519", scitt.SignOptions{}, "content"},
	} {
		key, err := newKey(c.alg, "issuer")
		if err != nil {
			return nil, nil, err
		}
		c.o.Algorithm, c.o.Subject, c.o.IssuedAt = c.alg, "urn:example:asset-17", at
		if c.o.Chain != nil && c.o.Chain.Seq > 0 {
			previous := parsed[len(parsed)-1].ID()
			c.o.Chain.Prev = previous[:]
		}
		data, err := scitt.SignStatement(key, c.o, []byte(c.content))
		if err != nil {
			return nil, nil, fmt.Errorf("vectors: %s: %w", c.name, err)
		}
		s, err := scitt.ParseStatement(data)
		if err != nil {
			return nil, nil, fmt.Errorf("vectors: %s: %w", c.name, err)
		}
		v, err := newStatement(c.name, key, s)
		if err != nil {
			return nil, nil, fmt.Errorf("vectors: %s: %w", c.name, err)
		}
		out, parsed = append(out, v), append(parsed, s)
	}
	return out, parsed, nil
}

func newStatement(name string, key crypto.Signer, s *scitt.Statement) (*statementVector, error) {
	signer := key
	if r, ok := key.(repeatable); ok {
		signer = r.Signer // which takes another salt
	}
	other, err := twin(zeros{}, signer, s.Entry())
	if err != nil {
		return nil, err
	}
	o, err := scitt.ParseStatement(other)
	if err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	k, err := scitt.NewKey(key.Public())
	if err != nil {
		return nil, err
	}
	public, err := k.Marshal()
	if err != nil {
		return nil, err
	}
	return &statementVector{
		Name: name, Algorithm: scitt.AlgorithmName(s.Algorithm), PublicKey: hex.EncodeToString(public),
		// What is not signed is in no entry and in no id.
		Statement: hex.EncodeToString(scitt.AttachReceipts(s, []byte("receipt"))),
		Entry:     hex.EncodeToString(s.Entry()), LeafHash: hex.EncodeToString(scitt.LeafHash(s.Entry())), EntryID: s.ID().String(), LowS: s.LowS(),
		Twin: &otherSignature{hex.EncodeToString(o.Entry()), hex.EncodeToString(scitt.LeafHash(o.Entry())), o.LowS()},
	}, nil
}

// problem is an answer, and the same one in a CBOR sequence.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Body   string `json:"body"`
	Item   string `json:"item"`
}

func problems() (out []problem) {
	for _, p := range []*scitt.Problem{
		{Status: 400, Title: "Rejected", Detail: "the signature does not verify"},
		scitt.AlreadyRegistered("https://transparency.example/entries/00"),
		{Status: 413, Title: "Too Many Statements", Detail: "send them in parts"},
		{Status: 503, Title: "Log Busy", Detail: "the log is busy"},
	} {
		out = append(out, problem{p.Status, p.Title, p.Detail, hex.EncodeToString(p.Marshal()), hex.EncodeToString(p.MarshalItem())})
	}
	return out
}

//go:embed rsa.pem
var rsaKey []byte // of nobody

// newKey makes the key of a name.
func newKey(alg, name string) (crypto.Signer, error) {
	switch alg {
	case "ES256", "ESP256":
		seed := sha256.Sum256([]byte(name))
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
		return repeatable{key}, err
	case "ES384", "ESP384":
		seed := sha512.Sum384([]byte(name))
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), seed[:])
		return repeatable{key}, err
	case "ES512", "ESP512":
		seed := sha512.Sum512([]byte(name))
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P521(), append([]byte{0, 0}, seed[:]...))
		return repeatable{key}, err
	case "EdDSA", "Ed25519":
		seed := sha256.Sum256([]byte(name))
		return ed25519.NewKeyFromSeed(seed[:]), nil
	case "ML-DSA-44":
		seed := sha256.Sum256([]byte(name))
		key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed[:])
		return repeatablePQ{key}, err
	case "PS256", "PS384", "PS512":
		key, err := scitt.ParsePrivateKey(rsaKey)
		return repeatable{key}, err
	}
	return nil, fmt.Errorf("vectors: no key for %s", alg)
}

// repeatable signs the same in the same way: ECDSA with the nonces of RFC 6979
// and RSA with a fixed salt. Such salts are for test vectors alone.
type repeatable struct{ crypto.Signer }

// Sign implements [crypto.Signer].
func (r repeatable) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if _, ok := r.Public().(*ecdsa.PublicKey); ok {
		return r.Signer.Sign(nil, digest, map[int]crypto.Hash{32: crypto.SHA256, 48: crypto.SHA384, 64: crypto.SHA512}[len(digest)])
	}
	return r.Signer.Sign(ones{}, digest, o)
}

// zeros and ones are no randomness at all.
type (
	zeros struct{}
	ones  struct{}
)

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func (ones) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 1
	}
	return len(b), nil
}
