//go:build !pkcs11 || !cgo

package pkcs11

import (
	"context"
	"errors"

	"github.com/conmotion/conmotion/keys"
)

// Open says how to build a program that opens these keys.
func Open(_ context.Context, uri string) (keys.Remote, error) {
	if _, err := parse(uri); err != nil {
		return nil, err
	}
	return nil, errors.New("this program was built without PKCS #11, which needs a C compiler: CGO_ENABLED=1 go install -tags pkcs11 github.com/conmotion/conmotion/cmd/conmotion-signer")
}
