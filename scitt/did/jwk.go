package did

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// jwk are the members of a JSON Web Key (RFC 7517, RFC 7518 section 6, RFC
// 8037) that a public signing key needs. encoding/json writes them in this
// order, so the did:jwk of a key is always the same.
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

// MarshalJWK writes a public key as a JSON Web Key.
func MarshalJWK(key crypto.PublicKey) ([]byte, error) {
	params, err := pubkey.Params(key)
	if err != nil {
		return nil, err
	}
	enc := func(label int64) string { return pubkey.EncodeBase64(params[label].([]byte)) }
	var j jwk
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		j = jwk{Kty: "EC", Crv: k.Curve.Params().Name, X: enc(pubkey.X), Y: enc(pubkey.Y)}
	case ed25519.PublicKey:
		j = jwk{Kty: "OKP", Crv: "Ed25519", X: enc(pubkey.X)}
	case *rsa.PublicKey:
		j = jwk{Kty: "RSA", N: enc(pubkey.N), E: enc(pubkey.E)}
	}
	return json.Marshal(j)
}

// ParseJWK reads a public JSON Web Key. Members that do not belong to the
// public key are ignored, but a private key or a repeated member is refused.
func ParseJWK(data []byte) (crypto.PublicKey, error) {
	members, err := jsonMembers(data)
	if err != nil {
		return nil, err
	}
	for _, private := range []string{"d", "k"} {
		if _, ok := members[private]; ok {
			return nil, pubkey.Malformed("the JSON Web Key holds a private key")
		}
	}
	var j jwk
	var raw [4][]byte
	for i, m := range []struct {
		name string
		to   *string
	}{{"kty", &j.Kty}, {"crv", &j.Crv}, {"x", &j.X}, {"y", &j.Y}, {"n", &j.N}, {"e", &j.E}} {
		if v, ok := members[m.name]; ok {
			if err := json.Unmarshal(v, m.to); err != nil {
				return nil, pubkey.Malformed("the JSON Web Key member %q: %w", m.name, err)
			}
		}
		if i >= 2 {
			if raw[i-2], err = pubkey.DecodeBase64(*m.to); err != nil {
				return nil, pubkey.Malformed("the JSON Web Key member %q is not unpadded base64url", m.name)
			}
		}
	}
	x, y, n, e := raw[0], raw[1], raw[2], raw[3]
	switch j.Kty + " " + j.Crv {
	case "EC P-256":
		return pubkey.Point(elliptic.P256(), x, y)
	case "EC P-384":
		return pubkey.Point(elliptic.P384(), x, y)
	case "OKP Ed25519":
		return pubkey.Ed25519(x)
	case "RSA ":
		return pubkey.RSA(n, e)
	}
	return nil, fmt.Errorf("%w: JSON Web Key of type %q %q", pubkey.ErrAlgorithm, j.Kty, j.Crv)
}

// jsonMembers reads one JSON object and refuses repeated members, of which
// encoding/json would silently keep the last.
func jsonMembers(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, pubkey.Malformed("not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, pubkey.Malformed("not a JSON object: %w", err)
		}
		name := t.(string) // what More announces inside an object is a name
		if _, ok := members[name]; ok {
			return nil, pubkey.Malformed("the JSON member %q is there twice", name)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, pubkey.Malformed("the JSON member %q: %w", name, err)
		}
		members[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, pubkey.Malformed("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, pubkey.Malformed("something trails the JSON object")
	}
	return members, nil
}

// NewJWK returns the did:jwk of a public key: an issuer identity that carries
// its own key ("did:jwk:" and the base64url of the JSON Web Key).
func NewJWK(key crypto.PublicKey) (string, error) {
	j, err := MarshalJWK(key)
	if err != nil {
		return "", err
	}
	return MethodJWK + ":" + pubkey.EncodeBase64(j), nil
}

// parseJWK reads the public key in a did:jwk.
func parseJWK(did string) (crypto.PublicKey, error) {
	j, err := pubkey.DecodeBase64(strings.TrimPrefix(did, MethodJWK+":"))
	if err != nil {
		return nil, pubkey.Malformed("the did:jwk is not unpadded base64url")
	}
	return ParseJWK(j)
}
