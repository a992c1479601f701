package cli

import "testing"

func TestLoopback(t *testing.T) {
	for host, ok := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "example.com": false, "10.0.0.1": false} {
		if loopback(host) != ok {
			t.Errorf("%q: %v", host, !ok)
		}
	}
}
