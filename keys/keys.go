// Package keys opens private keys by their URIs: a key in a file, or one that never
// leaves a key management service (KMS) or a hardware security module (HSM).
//
//	issuer.pem                                a file: PEM, a JSON Web Key or a COSE_Key
//	file:issuer.pem?passphrase-file=secret    the same, encrypted
//	awskms:///KEY-ARN                         AWS KMS
//	gcpkms://projects/.../cryptoKeyVersions/N Google Cloud KMS
//	pkcs11:token=...;object=...               an HSM (RFC 7512)
//
// A file may also have one line in place of a key: the URI of where it is.
//
// The package links no SDK of a cloud: a program says in [Options] what opens each
// scheme. docs/keys.md says which keys there are and who keeps them.
package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
)

// PassphraseVariable is the environment variable with the passphrase of encrypted
// key files that name no file of their own for it.
const PassphraseVariable = "CONMOTION_PASSPHRASE"

// Remote is a private key that is somewhere else. Its methods are not called at once.
type Remote interface {
	// Public fetches the public key.
	Public(ctx context.Context) (crypto.PublicKey, error)
	// Sign signs a digest that hash made, or with hash 0 (Ed25519, ML-DSA) the message
	// itself. A signature of ECDSA is DER, as [crypto.Signer] has it.
	Sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error)
}

// Opener opens the key with a URI of one scheme. What it opens ends with the context.
type Opener func(ctx context.Context, uri string) (Remote, error)

// Options are how keys are opened.
type Options struct {
	// Openers are by scheme, such as "awskms".
	Openers map[string]Opener
	// Prompt asks a person for the passphrase of a file; nil where nobody is there.
	Prompt func(file string) ([]byte, error)
	// Timeout bounds each call of a Remote; 0 for [DefaultTimeout].
	Timeout time.Duration
	// Patience is how long a signature may take with all that is tried again. It
	// should be short where somebody else waits and asks again.
	Patience time.Duration
	// Signed, when not nil, is told of each signature that was asked for: how long it
	// took, and why there is none.
	Signed func(took time.Duration, err error)

	following []string // files that name other keys
}

// DefaultTimeout is how long a KMS has to answer.
const DefaultTimeout = 5 * time.Second

// Open opens a private key. The public key of a Remote is fetched here, once, and
// each of its signatures is verified before it is returned: see [Options.Patience].
// The key works until the context ends.
func (o Options) Open(ctx context.Context, uri string) (crypto.Signer, error) {
	scheme := Scheme(uri)
	if scheme == "file" {
		path, secret, err := File(uri)
		if err != nil {
			return nil, err
		}
		data, err := plain.ReadInput(ctx, path, maxFile)
		if err != nil {
			return nil, err
		}
		if to := Reference(data); to != "" && secret == "" {
			o.following = append(o.following, path)
			if len(o.following) > 2 {
				return nil, fmt.Errorf("the files %s each name another one", strings.Join(o.following, ", "))
			}
			return o.Open(ctx, to)
		}
		return o.parse(ctx, path, secret, data)
	}
	open, ok := o.Openers[scheme]
	if !ok {
		return nil, fmt.Errorf("the key has the scheme %q, and this program opens %s", scheme, strings.Join(append(slices.Sorted(maps.Keys(o.Openers)), "file"), ", "))
	}
	return o.remote(ctx, uri, open)
}

// maxFile bounds the file of a key or a passphrase, in bytes. RSA keys of 16,384 bits have 13,000.
const maxFile = 64 << 10

// Shown is a URI for people. The PIN that must not be in one is not shown.
func Shown(uri string) string {
	if at := strings.Index(uri, "pin-value"); at >= 0 {
		return uri[:at] + "pin-value=..."
	}
	return uri
}

// Scheme is that of a URI, and "file" for a path. A path with a colon is written as
// file:PATH or ./PATH.
func Scheme(uri string) string {
	scheme, _, ok := strings.Cut(uri, ":")
	if !ok || len(scheme) < 2 || strings.ContainsFunc(scheme, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return "file"
	}
	return scheme
}

// File returns the path in the URI of a file, and the file of its passphrase or "".
func File(uri string) (path, passphrase string, err error) {
	rest, ok := strings.CutPrefix(uri, "file:")
	if !ok {
		return uri, "", nil
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok { // file:///PATH, RFC 8089
		if rest = after; !strings.HasPrefix(rest, "/") {
			return "", "", errors.New("a file URI has no host: file:PATH or file:///PATH")
		}
	}
	rest, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err == nil {
		path, err = url.PathUnescape(rest)
	}
	if err != nil {
		return "", "", fmt.Errorf("the file URI: %w", err)
	}
	for name := range values {
		if name != "passphrase-file" {
			return "", "", fmt.Errorf("the file URI has the parameter %q, and there is only passphrase-file", name)
		}
	}
	if path == "" {
		return "", "", errors.New("the file URI names no file")
	}
	return path, values.Get("passphrase-file"), nil
}

func (o Options) parse(ctx context.Context, path, secret string, data []byte) (crypto.Signer, error) {
	key, err := Parse(data, func() ([]byte, error) { return o.passphrase(ctx, path, secret) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if o.Signed != nil {
		key = counted{key, o.Signed}
	}
	return key, nil
}

// Reference returns the URI that is in a file in place of a key, or "".
func Reference(data []byte) (uri string) {
	line := strings.TrimSpace(string(data))
	if strings.Contains(line, "\n") || Scheme(line) == "file" && !strings.HasPrefix(line, "file:") {
		return ""
	}
	return line
}

// ErrPassphrase says that a key is encrypted and its passphrase is not known.
var ErrPassphrase = errors.New("the key is encrypted: give its passphrase in " + PassphraseVariable + ", or name a file that has it: file:PATH?passphrase-file=FILE")

func (o Options) passphrase(ctx context.Context, path, file string) ([]byte, error) {
	if file != "" {
		return ReadPassphrase(ctx, file)
	}
	if p := os.Getenv(PassphraseVariable); p != "" {
		return []byte(p), nil
	}
	if o.Prompt == nil {
		return nil, ErrPassphrase
	}
	return o.Prompt(path)
}

// ReadPassphrase reads a passphrase from the first line of a file.
func ReadPassphrase(ctx context.Context, file string) ([]byte, error) {
	data, err := plain.ReadInput(ctx, file, maxFile)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return nil, fmt.Errorf("passphrase: the first line of %s is empty", file)
	}
	return []byte(line), nil
}
