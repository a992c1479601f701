package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Create makes a file with a secret that only its owner may read. One that is there is never
// replaced. Where it cannot be written there is none afterwards; a crash within leaves a file
// with a part of the secret, which nobody accepts and which has to be removed before the next
// try.
func Create(path string, secret []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and a secret is never replaced; choose another name", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
