package artifact

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/conmotion/conmotion/internal/loopback"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// ErrTokens is a file of tokens that cannot be used.
var ErrTokens = errors.New("artifact: bad token file")

const (
	hashPrefix   = "sha256:"
	tokenBytes   = 32 // random bytes in a token
	maxTokenName = 64
)

// Tokens are the bearer tokens (RFC 6750) that allow one kind of access; nil allows
// it to nobody. Only their hashes are known. They are 256 random bits each, so that
// a plain hash cannot be searched and needs no salt.
type Tokens struct {
	tokens  []hashedToken
	without func(*http.Request) bool // lets a request in that has no token; nil for none
	public  bool                     // every request, so that shared caches may answer
}

// Everybody allows access without a token.
func Everybody() *Tokens {
	return &Tokens{public: true, without: func(*http.Request) bool { return true }}
}

// ThisMachine allows access without a token to programs on this machine: to requests from a
// loopback address, by their RemoteAddr, that ask for one by its name. What a proxy hands on is somebody
// else's, and what a browser sends for a page of another site (Origin, Sec-Fetch-Site) is that page's.
func ThisMachine() *Tokens {
	return &Tokens{without: func(r *http.Request) bool {
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "Via", "Origin"} {
			if r.Header.Get(name) != "" {
				return false
			}
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			return false
		}
		return loopback.Host(r.RemoteAddr) && loopback.Host(r.Host)
	}}
}

type hashedToken struct {
	hash Digest
	name string
}

// NewToken makes a token, to be given to its holder and kept nowhere else, and
// the line that allows it, to be added to a file for ParseTokens. The name says
// in logs who uses it: up to 64 letters, digits and ".", "_", "-", "@".
func NewToken(name string) (token, line string, err error) {
	if !validTokenName(name) {
		return "", "", fmt.Errorf("%w: name %q", ErrTokens, name)
	}
	secret := make([]byte, tokenBytes)
	if _, err := rand.Read(secret); err != nil {
		return "", "", fmt.Errorf("artifact: %w", err)
	}
	token = base64.RawURLEncoding.EncodeToString(secret)
	return token, hashPrefix + Digest(sha256.Sum256([]byte(token))).String() + " " + name, nil
}

// ParseTokens reads a file of tokens: one line "sha256:<64 hex digits> name" for
// each, empty lines and lines that start with "#" are skipped. Several tokens
// may have one name, so that a holder can change tokens without a gap. A file
// without any token is an error: it would refuse everybody. Errors are ErrTokens
// with the line's number, and those of r.
func ParseTokens(r io.Reader) (*Tokens, error) {
	t := new(Tokens)
	seen := make(map[Digest]bool)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hash, name, _ := strings.Cut(line, " ")
		name = strings.TrimSpace(name)
		hash, ok := strings.CutPrefix(hash, hashPrefix)
		digest, err := reader.ParseDigest(hash)
		switch {
		case !ok || err != nil:
			return nil, fmt.Errorf("%w: line %d: want %s and 64 lower case hex digits", ErrTokens, n, hashPrefix)
		case !validTokenName(name):
			return nil, fmt.Errorf("%w: line %d: no valid name after the hash", ErrTokens, n)
		case seen[digest]:
			return nil, fmt.Errorf("%w: line %d: this hash is there twice", ErrTokens, n)
		}
		seen[digest] = true
		t.tokens = append(t.tokens, hashedToken{digest, name})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokens, err)
	}
	if len(t.tokens) == 0 {
		return nil, fmt.Errorf("%w: no token in it", ErrTokens)
	}
	return t, nil
}

func validTokenName(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("._-@", c) >= 0:
		default:
			return false
		}
	}
	return name != "" && len(name) <= maxTokenName
}

// holder is the name of the token's holder. It takes the same time for every
// token, right or wrong.
func (t *Tokens) holder(token string) (name string, ok bool) {
	if t == nil {
		return "", false
	}
	hash := sha256.Sum256([]byte(token))
	for _, known := range t.tokens {
		if subtle.ConstantTimeCompare(hash[:], known.hash[:]) == 1 {
			name, ok = known.name, true
		}
	}
	return name, ok
}
