//go:build !linux

package main

import (
	"net"
	"os"
)

// peer trusts the mode of the socket, 0600 in a directory of mode 0700, where
// there is no one way to ask the kernel.
func peer(net.Conn) (uid uint32, err error) { return uint32(os.Getuid()), nil }
