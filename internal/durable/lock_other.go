//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package durable

import (
	"errors"
	"os"
)

// Lock cannot hold files on this system.
func Lock(*os.File) error { return errors.ErrUnsupported }
