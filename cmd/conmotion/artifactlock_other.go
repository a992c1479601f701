//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import (
	"errors"
	"fmt"
	"os"
)

// lockFile refuses: without a lock two processes would mix their bytes.
func lockFile(*os.File) error {
	return fmt.Errorf("%w: files cannot be locked on this system; use --out -", errors.ErrUnsupported)
}
