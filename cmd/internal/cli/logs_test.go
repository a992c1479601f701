package cli

import "testing"

func TestToken(t *testing.T) {
	for s, ok := range map[string]bool{"abc": true, "aB3-._~+/==": true, "": false, "==": false, "a b": false, "a\nb": false, "a=b": false, "ä": false} {
		if token.MatchString(s) != ok {
			t.Errorf("%q: %v", s, !ok)
		}
	}
	for host, ok := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "example.com": false, "10.0.0.1": false} {
		if loopback(host) != ok {
			t.Errorf("%q: %v", host, !ok)
		}
	}
}
