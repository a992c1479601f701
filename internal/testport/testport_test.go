package testport

import (
	"net"
	"testing"
)

// TestTake: an address is another one each time, free, and given again only when it is released.
func TestTake(t *testing.T) {
	given := map[string]bool{}
	for range 50 {
		address, release, err := Take()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if given[address] {
			t.Errorf("%s is given twice", address)
		}
		given[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	for address := range given {
		if l, err := net.ListenPacket("udp", address); err == nil {
			l.Close()
			t.Errorf("%s is not taken", address)
		}
	}
}
