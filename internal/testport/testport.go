// Package testport gives tests addresses of this machine that stay theirs, also while the
// program that listens there is started again.
package testport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below those that systems give to connections and to listeners that ask for any.
const first, last = 10000, 15999

// Take gives HOST:PORT where nobody listens on TCP. Nobody else who asks here, in this process or in
// another one, is given the same until it is released: UDP on the port is what is taken meanwhile.
func Take() (address string, release func(), err error) {
	var errs []error
	for range 100 {
		address = fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first+1))
		taken, err := net.ListenPacket("udp", address)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			errs = append(errs, err, taken.Close())
			continue
		}
		return address, func() { _ = taken.Close() }, l.Close()
	}
	return "", nil, fmt.Errorf("no free port: %w", errors.Join(errs...))
}
