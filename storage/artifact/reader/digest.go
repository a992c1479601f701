package reader

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// ErrDigest says that a text is not a digest.
var ErrDigest = errors.New("not a SHA-256 digest in 64 lower case hex digits")

// AlgorithmSHA256 is the hash by which artifacts are stored, as COSE names it (RFC 9054).
const AlgorithmSHA256 = -16

// Digest is the SHA-256 of an artifact's bytes, and its name. In JSON it is
// what String returns.
type Digest [sha256.Size]byte

// ParseDigest reads 64 lower case hex digits. One digest has one spelling, so
// that one artifact has one address; anything else is ErrDigest.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(s))
	return d, err
}

// String returns the digest in 64 lower case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Path returns the path of the artifact with this digest in an artifact
// storage and in an export: sha256/ab/cd/abcd..., by the first two bytes of
// the digest, with slashes.
func (d Digest) Path() string {
	name := d.String()
	return "sha256/" + name[:2] + "/" + name[2:4] + "/" + name
}

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Digest) UnmarshalText(text []byte) error {
	var got Digest
	if len(text) != hex.EncodedLen(len(got)) {
		return ErrDigest
	}
	if _, err := hex.Decode(got[:], text); err != nil || got.String() != string(text) {
		return ErrDigest
	}
	*d = got
	return nil
}
