//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package artifact

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock two processes would delete each other's
// uploads.
func lockFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }
