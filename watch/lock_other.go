//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package watch

import "os"

// lockFile cannot lock on this system: that only one monitor uses a state is
// left to who runs it.
func lockFile(*os.File) error { return nil }
