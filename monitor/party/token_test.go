package party

import (
	"os"
	"path/filepath"
	"testing"
)

func TestToken(t *testing.T) {
	for s, ok := range map[string]bool{"abc": true, " abc\n": true, "aB3-._~+/==": true, "": false, "==": false, "a b": false, "a\nb": false, "a=b": false, "ä": false} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadToken(t.Context(), path); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestHomeToken: a token is for one host and port, and a directory has none.
func TestHomeToken(t *testing.T) {
	home := Home(t.TempDir())
	for name, token := range map[string]string{"provider.example": "p", "127.0.0.1:8080": "l", "bad.example": "a b"} {
		path := filepath.Join(string(home), "tokens", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for location, want := range map[string]string{
		"https://provider.example": "p", "https://provider.example/log/": "p", "https://provider.example:8443": "", "http://127.0.0.1:8080": "l",
		"https://auditor.example": "", "https://x/../provider.example": "", "provider.example": "", "/var/lib/log": "", "": "",
	} {
		if got, err := home.Token(location); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", location, got, err, want)
		}
	}
	if got, err := home.Token("https://bad.example"); err == nil {
		t.Errorf("no token: %q", got)
	}
	if got, err := Home("").Token("https://provider.example"); got != "" || err != nil {
		t.Errorf("without a home: %q, %v", got, err)
	}
	if got, err := (Options{Home: home, Token: "given"}).token("https://provider.example"); got != "given" || err != nil {
		t.Errorf("given: %q, %v", got, err)
	}
}
