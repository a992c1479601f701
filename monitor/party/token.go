package party

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/conmotion/conmotion/internal/plain"
)

// maxToken bounds the file of a token in bytes.
const maxToken = 64 << 10

var token = regexp.MustCompile(`^[-._~+/0-9A-Za-z]+=*$`) // RFC 6750 section 2.1

// ReadToken reads a file with a bearer token, which the user names and which may be a
// pipe.
func ReadToken(ctx context.Context, path string) (string, error) {
	data, err := plain.ReadInput(ctx, path, maxToken)
	return parseToken(path, data, err)
}

func parseToken(path string, data []byte, err error) (string, error) {
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
	t, err := h.readToken(u.Host)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("token for %s: %w", u.Host, err)
	}
	return t, nil
}

func (h Home) readToken(host string) (string, error) {
	path := filepath.Join(string(h), "tokens", filepath.Base(host))
	data, err := plain.ReadFile(path, maxToken)
	return parseToken(path, data, err)
}

// token is the one to read or store artifacts with at a URL: what was given, or
// what Home has.
func (o Options) token(location string) (string, error) {
	if o.Token != "" {
		return o.Token, nil
	}
	return o.Home.Token(location)
}
