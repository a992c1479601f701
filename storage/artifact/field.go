package artifact

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

var errField = errors.New("not a dictionary of byte sequences")

// formatDigest is the value of a Repr-Digest or Content-Digest field: RFC 9530
// section 2, a dictionary with a byte sequence, "sha-256=:base64:".
func formatDigest(d Digest) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(d[:]) + ":"
}

// parseDigestField finds the SHA-256 in a Repr-Digest or Content-Digest field,
// nil if the field gives only other algorithms: "A recipient MAY ignore any or
// all digests" (RFC 9530 sections 2 and 3). It reads RFC 9651 section 3.2
// dictionaries whose values are byte sequences; of a key that comes twice the
// last counts. Parameters, which no algorithm defines, are an error like
// anything else that a sender of digests does not mean.
func parseDigestField(lines []string) (*Digest, error) {
	var found *Digest
	field := strings.Trim(strings.Join(lines, ","), " ")
	if field == "" {
		return nil, nil
	}
	for member := range strings.SplitSeq(field, ",") {
		key, value, ok := strings.Cut(strings.Trim(member, " \t"), "=")
		if !ok || !validKey(key) {
			return nil, fmt.Errorf("%w: key", errField)
		}
		if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
			return nil, fmt.Errorf("%w: value of %s", errField, key)
		}
		raw, err := base64.StdEncoding.DecodeString(value[1 : len(value)-1])
		if err != nil {
			return nil, fmt.Errorf("%w: value of %s", errField, key)
		}
		if key != "sha-256" {
			continue
		}
		if len(raw) != len(Digest{}) {
			return nil, fmt.Errorf("%w: sha-256 of %d bytes", errField, len(raw))
		}
		d := Digest(raw)
		found = &d
	}
	return found, nil
}

// validKey is the key of RFC 9651 section 3.1.2.
func validKey(key string) bool {
	for i, c := range []byte(key) {
		lead := c >= 'a' && c <= 'z' || c == '*'
		if !lead && (i == 0 || (c < '0' || c > '9') && strings.IndexByte("_-.", c) < 0) {
			return false
		}
	}
	return key != ""
}
