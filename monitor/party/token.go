package party

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var token = regexp.MustCompile(`^[-._~+/0-9A-Za-z]+=*$`) // RFC 6750 section 2.1

// ReadToken reads a file with a bearer token.
func ReadToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	t := strings.TrimSpace(string(data))
	if !token.MatchString(t) {
		return "", fmt.Errorf("%s is not one token and nothing else", path)
	}
	return t, nil
}

// Token is the token for the artifacts at a URL, and for searching in them: what the
// file tokens/HOST has, or tokens/HOST:PORT where the URL has a port. The user puts it
// there; it goes to that host alone. It is "" when there is none.
func (h Home) Token(location string) (string, error) {
	u, err := url.Parse(location)
	if h == "" || err != nil || !IsURL(location) {
		return "", nil
	}
	t, err := ReadToken(filepath.Join(string(h), "tokens", filepath.Base(u.Host)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("token for %s: %w", u.Host, err)
	}
	return t, nil
}

// token is the one to read or store artifacts with at a URL: what was given, or
// what Home has.
func (o Options) token(location string) (string, error) {
	if o.Token != "" {
		return o.Token, nil
	}
	return o.Home.Token(location)
}
