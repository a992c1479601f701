package did

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
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
	default:
		return nil, fmt.Errorf("%w: a JSON Web Key of type %T", pubkey.ErrAlgorithm, key)
	}
	return json.Marshal(j)
}

// ParseJWK reads a public JSON Web Key that verifies signatures. Members that
// this package does not know are ignored (RFC 7517 section 4); a private key, a
// repeated member, and a key for another use is refused.
func ParseJWK(data []byte) (PublicKey, error) {
	members, err := jsonx.Members(data)
	if err != nil {
		return PublicKey{}, pubkey.Malformed("the JSON Web Key: %w", err)
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} { // RFC 7518 sections 6.2.2, 6.3.2 and 6.4
		if _, ok := members[private]; ok {
			return PublicKey{}, pubkey.Malformed("the JSON Web Key holds a private key")
		}
	}
	var j jwk
	var use, alg, kid string
	var ops []string
	for name, to := range map[string]any{"kty": &j.Kty, "crv": &j.Crv, "x": &j.X, "y": &j.Y, "n": &j.N, "e": &j.E,
		"use": &use, "alg": &alg, "kid": &kid, "key_ops": &ops} {
		if v, ok := members[name]; ok {
			if err := json.Unmarshal(v, to); err != nil {
				return PublicKey{}, pubkey.Malformed("the JSON Web Key member %q: %w", name, err)
			}
		}
	}
	if err := forSignatures(members, use, ops); err != nil {
		return PublicKey{}, err
	}
	key := PublicKey{}
	if kid != "" {
		key.ID = []byte(kid)
	}
	if key.Public, err = j.publicKey(); err != nil {
		return PublicKey{}, err
	}
	// RFC 7517 section 4.4: "The "alg" (algorithm) parameter identifies the
	// algorithm intended for use with the key."
	if _, ok := members["alg"]; ok {
		err = key.Restrict(alg, func(a pubkey.Algorithm) bool { return a.Name == alg })
	} else {
		err = pubkey.Check(key.Public)
	}
	return key, err
}

func (j *jwk) publicKey() (crypto.PublicKey, error) {
	var raw [4][]byte
	for i, m := range []struct{ name, value string }{{"x", j.X}, {"y", j.Y}, {"n", j.N}, {"e", j.E}} {
		var err error
		if raw[i], err = pubkey.DecodeBase64(m.value); err != nil {
			return nil, pubkey.Malformed("the JSON Web Key member %q is not unpadded base64url", m.name)
		}
	}
	x, y, n, e := raw[0], raw[1], raw[2], raw[3]
	switch curve, ok := pubkey.FindCurve(func(c pubkey.Curve) bool { return c.Name() == j.Crv }); {
	case j.Kty == "EC" && ok:
		return pubkey.Point(curve.Curve, x, y)
	case j.Kty == "OKP" && j.Crv == "Ed25519":
		return pubkey.Ed25519(x)
	case j.Kty == "RSA" && j.Crv == "":
		return pubkey.RSA(n, e)
	}
	return nil, fmt.Errorf("%w: JSON Web Key of type %.40q %.40q", pubkey.ErrAlgorithm, j.Kty, j.Crv)
}

// forSignatures refuses a key that is not for verifying signatures.
//
// RFC 7517 section 4.2: "The "use" (public key use) parameter identifies the
// intended use of the public key"; of signatures it is "sig". Section 4.3, of
// key_ops: "Duplicate key operation values MUST NOT be present in the array."
// and "The "use" and "key_ops" JWK members SHOULD NOT be used together; however,
// if both are used, the information they convey MUST be consistent."
func forSignatures(members map[string]json.RawMessage, use string, ops []string) error {
	_, hasUse := members["use"]
	_, hasOps := members["key_ops"]
	slices.Sort(ops)
	switch {
	case hasUse && use != "sig":
		return pubkey.Malformed("the JSON Web Key has the use %.40q, and it must be sig", use)
	case !hasOps:
		return nil
	case !slices.Contains(ops, "verify"):
		return pubkey.Malformed("the key_ops of the JSON Web Key do not allow verify")
	case len(slices.Compact(slices.Clone(ops))) < len(ops):
		return pubkey.Malformed("the key_ops of the JSON Web Key repeat an operation")
	case hasUse && slices.ContainsFunc(ops, func(op string) bool { return op != "verify" && op != "sign" }):
		return pubkey.Malformed("the use and the key_ops of the JSON Web Key contradict each other")
	}
	return nil
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
func parseJWK(did string) (PublicKey, error) {
	j, err := pubkey.DecodeBase64(strings.TrimPrefix(did, MethodJWK+":"))
	if err != nil {
		return PublicKey{}, pubkey.Malformed("the did:jwk is not unpadded base64url")
	}
	return ParseJWK(j)
}
