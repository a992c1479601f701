package inspect

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// inspectText reads what is text.
func inspectText(data []byte) []Object {
	switch {
	case bytes.HasPrefix(data, []byte("c2sp.org/tlog-proof@")):
		return inspectProof(data)
	case bytes.HasPrefix(data, []byte("-----BEGIN ")):
		return inspectPEM(data)
	case bytes.HasPrefix(data, []byte("{")):
		return inspectJSON(data)
	case did.Method(string(data)) == did.MethodJWK:
		key, err := did.Key(strings.TrimSpace(string(data)))
		if err != nil {
			return []Object{{"did:jwk", []fact{{"not read", err.Error()}}, ""}}
		}
		return []Object{{"did:jwk", publicFacts(key.Public), ""}}
	}
	return inspectCheckpoint(data)
}

func inspectJSON(data []byte) []Object {
	var pretty bytes.Buffer
	if json.Indent(&pretty, data, "", "  ") != nil {
		return nil
	}
	body := printable.Lines(strings.TrimSpace(pretty.String())) // an escape of clean is one in JSON too
	if c, err := scitt.ParseConfiguration(data); err == nil {
		return []Object{{"Transparency Configuration", configurationFacts(c), body}}
	}
	if key, err := did.ParseJWK(data); err == nil {
		return []Object{{"JSON Web Key", publicFacts(key.Public), body}}
	}
	return []Object{{"JSON", nil, body}}
}

// inspectCheckpoint reads a checkpoint (C2SP tlog-checkpoint) without keys. Of text with
// signature lines it says why it is none.
func inspectCheckpoint(data []byte) []Object {
	if !bytes.Contains(data, []byte("\n\n— ")) {
		return nil
	}
	cp, _, err := scitt.OpenNote(data)
	if err != nil {
		return []Object{{"text with signature lines, not a checkpoint", []fact{{"not read", err.Error()}}, ""}}
	}
	_, err = note.Open(data, note.VerifierList())
	unverified, ok := errors.AsType[*note.UnverifiedNoteError](err)
	if !ok {
		return nil
	}
	lines := strings.SplitN(cp.Body(), "\n", 4)
	o := Object{"checkpoint, not verified", []fact{
		{"origin", cp.Origin}, {"size", fmt.Sprint(cp.Size)}, {"root", hex.EncodeToString(cp.Root)}, {"extension", lines[3]},
	}, ""}
	var trees []Object
	for i, sig := range unverified.Note.UnverifiedSigs {
		name := fmt.Sprintf("signature %d", i+1)
		raw, err := base64.StdEncoding.DecodeString(sig.Base64)
		if err != nil || len(raw) < 5 {
			continue // note.Open takes no such line
		}
		value := fmt.Sprintf("by %s, key id %08x, %s", sig.Name, sig.Hash, signatureKind(raw[4:]))
		o.Facts = append(o.Facts, fact{name, value})
		if isSign1(raw[4:]) && wellFormed(raw[4:]) {
			tree := inspectSign1(raw[4:])
			tree.Kind = name + ": " + tree.Kind
			trees = append(trees, tree)
		}
	}
	return append([]Object{o}, trees...)
}

// signatureKind says what a signature on a note looks like. Only the key
// would tell for sure.
func signatureKind(sig []byte) string {
	if t, err := scitt.ParseTreeSignature(sig); err == nil {
		return fmt.Sprintf("tree signature for receipts, %s, of %s", scitt.AlgorithmName(t.Algorithm), printable.Time(t.IssuedAt))
	}
	switch len(sig) {
	case 64:
		return "64 bytes, as of Ed25519"
	case 72:
		return "72 bytes, as of a cosignature"
	}
	return fmt.Sprintf("%d bytes", len(sig))
}

func inspectProof(data []byte) []Object {
	var p proof.TLogProof
	if err := p.Unmarshal(data); err != nil {
		return []Object{{"tlog-proof", []fact{{"not read", err.Error()}}, ""}}
	}
	o := Object{"tlog-proof, not verified", []fact{{"leaf index", fmt.Sprint(p.Index)}}, ""}
	for i, h := range p.Hashes {
		o.Facts = append(o.Facts, fact{fmt.Sprintf("hash %d", i+1), hex.EncodeToString(h[:])})
	}
	return append([]Object{o}, inspectCheckpoint(p.Checkpoint)...)
}

// inspectPEM reads a key or a certificate.
func inspectPEM(data []byte) []Object {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	kind := strings.ToLower(block.Type)
	if kind == "encrypted private key" {
		return []Object{{kind, []fact{{"not read", "it needs its passphrase: conmotion key inspect"}}, ""}}
	}
	var public crypto.PublicKey
	key, err := scitt.ParsePrivateKey(data)
	if err == nil {
		kind, public = "private key, of which only the public part is shown", key.Public()
	} else {
		var given scitt.Key
		given, err = scitt.ParsePublicKey(data)
		public = given.Public
	}
	if err != nil {
		return []Object{{kind, []fact{{"not read", err.Error()}}, ""}}
	}
	facts := publicFacts(public)
	if block.Type == "CERTIFICATE" {
		facts = append(facts, fact{"subject", certificateNote(leaf{bytes: block.Bytes})})
	}
	return []Object{{kind, facts, ""}}
}

func publicFacts(public crypto.PublicKey) []fact {
	iss, err := did.NewJWK(public)
	if err != nil {
		return []fact{{"not read", err.Error()}}
	}
	return append(keyFacts(scitt.KeySet{{Public: public}}), fact{"did:jwk", iss})
}
