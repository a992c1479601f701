//go:build !linux

package parts

import "os/exec"

// endWithParent does nothing where the system has no way.
func endWithParent(*exec.Cmd) {}

// hasAttributes reports that they are not used here.
func hasAttributes(string) bool { return false }
