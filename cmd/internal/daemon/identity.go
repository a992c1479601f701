package daemon

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// identity is who the service is: fixed when the log is made, because
// receipts and checkpoints that others store name it.
type identity struct {
	Issuer string `json:"issuer"`
	Origin string `json:"origin"`
	// FirstStatement says that the log's first policy is not the service's.
	FirstStatement bool `json:"first_statement,omitempty"`
}

const identityFile = "service.json"

// loadIdentity finds who the service is, or settles it.
func loadIdentity(dir *storage.Dir, c *Config) (identity, error) {
	path := dir.Private(identityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if hasLog(dir) {
			return identity{}, fmt.Errorf("identity: %s is gone, and there is a log already: put it back; its issuer and its origin are those in %s", path, dir.Public(tiles.ConfigurationPath))
		}
		return newIdentity(path, c)
	}
	if err != nil {
		return identity{}, fmt.Errorf("identity: %w", err)
	}
	var id identity
	if err := json.Unmarshal(data, &id); err != nil {
		return identity{}, fmt.Errorf("identity: %s: %w", path, err)
	}
	if c.Issuer != "" && c.Issuer != id.Issuer {
		return identity{}, fmt.Errorf("--issuer %s: the log in %s was made for %s, which its receipts name; use another --dir for another service", c.Issuer, c.Dir, id.Issuer)
	}
	if c.Origin != "" && c.Origin != id.Origin {
		return identity{}, fmt.Errorf("--origin %s: the log in %s is named %s; use another --dir for another log", c.Origin, c.Dir, id.Origin)
	}
	if c.FirstStatement && !id.FirstStatement {
		return identity{}, fmt.Errorf("--bootstrap first-statement: the log in %s has its policy already", c.Dir)
	}
	return id, nil
}

// hasLog says whether the directory holds a log that was published. Whatever
// that needs is made before it, and never again.
func hasLog(dir *storage.Dir) bool {
	_, err := os.Stat(dir.Public(tiles.CheckpointPath))
	return err == nil
}

// newIdentity settles who the service is. A crash before the file is there
// leaves nothing; keys and log are made after it.
func newIdentity(path string, c *Config) (identity, error) {
	id := identity{c.Issuer, c.Origin, c.FirstStatement}
	if id.Issuer == "" {
		// Receipts name it for ever, so it must be an address of this service.
		if everyAddress(c.DefaultIssuer) {
			return id, fmt.Errorf("--issuer: give the URL under which others reach this service, such as https://transparency.example; %s, which follows from --listen, is no address", c.DefaultIssuer)
		}
		id.Issuer = c.DefaultIssuer
	}
	if id.Origin == "" {
		u, err := url.Parse(id.Issuer)
		if err != nil {
			return id, fmt.Errorf("identity: %w", err)
		}
		// C2SP tlog-tiles: "The origin line SHOULD be the scheme-less URL
		// prefix of the log with no trailing slashes."
		id.Origin = strings.TrimRight(u.Host+u.Path, "/")
	}
	if err := scitt.CheckOrigin(id.Origin); err != nil {
		return id, err
	}
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return id, fmt.Errorf("identity: %w", err)
	}
	return id, durable.WriteFile(path, append(data, '\n'), 0o600)
}

// everyAddress says that a URL has the address that stands for all addresses
// of a machine: one can listen there, and nobody can go there.
func everyAddress(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsUnspecified()
}

// keys are the service's private keys.
type keys struct {
	receipt crypto.Signer // ES256
	note    note.Signer
	// vkeys are the verifier keys of both, as checkpoints use them.
	vkeys []string
}

// loadKeys reads the private keys, or makes them. A crash in between leaves
// one of the two; the next start makes the other.
func loadKeys(dir *storage.Dir, origin string) (k keys, err error) {
	if k.receipt, err = loadKey(dir, "receipt-key.pem", "ES256"); err != nil {
		return k, err
	}
	checkpoint, err := loadKey(dir, "checkpoint-key.pem", "EdDSA")
	if err != nil {
		return k, err
	}
	ed, ok := checkpoint.(ed25519.PrivateKey)
	if !ok {
		return k, fmt.Errorf("the checkpoint key is not an Ed25519 key")
	}
	noteKey, err := note.NewEd25519VerifierKey(origin, ed.Public().(ed25519.PublicKey))
	if err != nil {
		return k, fmt.Errorf("checkpoint key: %w", err)
	}
	treeKey, err := scitt.TreeVKey(origin, k.receipt.Public())
	if err != nil {
		return k, fmt.Errorf("receipt key: %w", err)
	}
	k.vkeys = []string{noteKey, treeKey}
	// The private form of a note key: the same name and hash, and after the
	// algorithm's byte (1) the seed.
	hash := strings.SplitN(noteKey, "+", 3)[1]
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, ed.Seed()...))
	if k.note, err = note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" + secret); err != nil {
		return k, fmt.Errorf("checkpoint key: %w", err)
	}
	return k, nil
}

func loadKey(dir *storage.Dir, name, algorithm string) (crypto.Signer, error) {
	path := dir.Private(name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if hasLog(dir) {
			return nil, fmt.Errorf("key: %s is gone, and there is a log already, which another key cannot go on: put it back", path)
		}
		return makeKey(path, algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, err := scitt.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	alg, err := scitt.AlgorithmFor(key.Public())
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	if got := scitt.AlgorithmName(alg); got != algorithm {
		return nil, fmt.Errorf("key %s: it is one for %s, not %s", path, got, algorithm)
	}
	return key, nil
}

func makeKey(path, algorithm string) (crypto.Signer, error) {
	key, err := scitt.GenerateKey(algorithm)
	if err != nil {
		return nil, err
	}
	data, err := scitt.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(path, data, 0o600)
}
