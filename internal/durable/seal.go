package durable

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrChanged says that a document is not what Seal wrote.
var ErrChanged = errors.New("it is not what was written: a disk lost bytes of it, or somebody changed it")

// A sealed document is a JSON object whose first member is the SHA-256 of the object
// without it, so that a state in which a disk flipped a bit is never taken for another one.
const (
	sealBegins = `{"sha256":"`
	sealEnds   = `",`
	sealSize   = len(sealBegins) + 2*sha256.Size + len(sealEnds)
)

// Seal seals a JSON object that has members.
func Seal(object []byte) []byte {
	return fmt.Appendf(nil, "%s%x%s%s", sealBegins, sha256.Sum256(object), sealEnds, object[1:])
}

// Unseal returns the object that was sealed, and a document without a seal, such as an
// older version wrote, as it is. The error is ErrChanged.
func Unseal(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte(sealBegins)) {
		return data, nil
	}
	if len(data) > sealSize {
		object := append([]byte("{"), data[sealSize:]...)
		if bytes.Equal(Seal(object), data) {
			return object, nil
		}
	}
	return nil, ErrChanged
}
