package daemon

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
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
func loadIdentity(ctx context.Context, dir keyDir, log *place, c *Config) (identity, error) {
	path := dir.file(identityFile)
	data, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw, err := log.Get(ctx, tiles.CheckpointPath)
		switch {
		case err == nil:
			return identity{}, fmt.Errorf("identity: %s has a log already, %.80q, and %s, which is beside that log's keys, is not there. To go on with that log put its keys and this file there, or give their directory as --keys; its issuer and its origin are those in %s/%s. A new log takes an empty place", log.name, scitt.ClaimedOrigin(raw), path, log.name, tiles.ConfigurationPath)
		case !errors.Is(err, fs.ErrNotExist):
			return identity{}, fmt.Errorf("identity: %w", err)
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

// newIdentity settles who the service is. A crash before the file is there
// leaves nothing; keys and log are made after it.
func newIdentity(path string, c *Config) (identity, error) {
	id := identity{c.Issuer, c.Origin, c.FirstStatement}
	if id.Issuer == "" {
		id.Issuer = c.DefaultIssuer // which follows from --listen
	}
	// Receipts name it for ever, so it must be an address of this service.
	if everyAddress(id.Issuer) {
		return id, fmt.Errorf("--issuer: give the URL under which others reach this service, such as https://transparency.example; %s stands for all addresses of a machine", id.Issuer)
	}
	if id.Origin == "" {
		u, err := url.Parse(id.Issuer)
		if err != nil {
			return id, fmt.Errorf("identity: %w", err)
		}
		id.Origin = OriginOf(u)
	}
	if err := scitt.CheckOrigin(id.Origin); err != nil {
		return id, fmt.Errorf("--origin: %w", err)
	}
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return id, fmt.Errorf("identity: %w", err)
	}
	return id, durable.WriteFile(path, append(data, '\n'), 0o600)
}

// OriginOf is the log's name where --origin gives none.
//
// C2SP tlog-tiles: "The origin line SHOULD be the scheme-less URL prefix of the
// log with no trailing slashes."
func OriginOf(issuer *url.URL) string { return strings.TrimRight(issuer.Host+issuer.Path, "/") }

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

// Files of private keys under private/.
const (
	noteKeyFile     = "checkpoint-key.pem"    // Ed25519
	receiptKeyFile  = "receipt-key.pem"       // ES256
	serviceKeyFile  = "service-key.pem"       // ES256
	pqNoteFile      = "pq-checkpoint-key.pem" // ML-DSA-44, like the next one; there are none before a rotation makes them
	pqReceiptFile   = "pq-receipt-key.pem"
	recoveryKeyFile = "recovery-key.pem" // ES256; not needed but to announce it
)

// keys are the service's private keys that it needs to run.
type keys struct {
	note             note.Signer
	receipt, service crypto.Signer
	// vkeys are the verifier keys of note and receipts, as checkpoints use them.
	vkeys []string
}

// loadKeys reads the private keys, or makes them. A crash in between leaves
// some of them; the next start makes the others. None is announced before all
// are there. Of a log that is there it finds the keys that signed its public checkpoint.
func loadKeys(ctx context.Context, dir keyDir, log *place, id identity) (k keys, err error) {
	there, err := log.hasLog(ctx)
	if err != nil {
		return k, fmt.Errorf("keys: %w", err)
	}
	if there {
		return k, k.load(ctx, dir, log, id)
	}
	checkpoint, err := loadKey(dir, noteKeyFile, "EdDSA")
	if err != nil {
		return k, err
	}
	if k.receipt, err = loadKey(dir, receiptKeyFile, "ES256"); err != nil {
		return k, err
	}
	var noteKey string
	if k.note, noteKey, err = scitt.NewNoteSigner(id.Origin, checkpoint); err != nil {
		return k, fmt.Errorf("checkpoint key: %w", err)
	}
	treeKey, err := scitt.TreeVKey(id.Origin, k.receipt.Public())
	if err != nil {
		return k, fmt.Errorf("receipt key: %w", err)
	}
	k.vkeys = []string{noteKey, treeKey}
	k.service, err = loadKey(dir, serviceKeyFile, "ES256")
	return k, err
}

// load finds the keys of a log that is there.
func (k *keys) load(ctx context.Context, dir keyDir, log *place, id identity) error {
	if err := k.signed(ctx, dir, log, id.Origin); err != nil {
		return err
	}
	first, err := k.entry0(ctx, log)
	if err != nil {
		return err
	}
	if first != nil {
		if _, err := scitt.KeysFrom(first, id.Origin); errors.Is(err, scitt.ErrEarlier) {
			return fmt.Errorf("%s: %w, so this version cannot continue it: use another --dir for a new log", log.name, err)
		}
	}
	services, err := readRing(dir, purposeService)
	if err != nil {
		return err
	}
	if len(services) == 0 {
		return gone(dir.file(serviceKeyFile))
	}
	if k.service = services[0]; first == nil {
		return nil
	}
	announced, err := scitt.FirstKeys(first, id.Origin)
	if err != nil {
		return fmt.Errorf("entry 0 of the log in %s: %w", log.name, err)
	}
	if announced.Issuer != id.Issuer {
		return fmt.Errorf("%s names the issuer %s, and the log in %s is by %s, as its entry 0 says: put that back", dir.file(identityFile), id.Issuer, log.name, announced.Issuer)
	}
	return nil
}

// gone says that a key is needed and its file is not there.
func gone(file string) error {
	return fmt.Errorf("key: %s is not there, and the log is, which another key cannot go on: put it back", file)
}

// entry0 reads the first entry of the log in the directory, in which keys are
// announced, before anything is written there. It is nil when there is none, or
// when files are damaged: opening the log finds what is wrong.
func (k keys) entry0(ctx context.Context, log *place) (*scitt.Statement, error) {
	view, err := k.latest(ctx, log)
	if err != nil || view.Checkpoint.Size == 0 {
		return nil, nil
	}
	entry, err := view.Entry(ctx, 0)
	if err != nil {
		return nil, nil
	}
	return scitt.ParseStatement(entry)
}

// latest is the log as its public checkpoint commits to it.
func (k keys) latest(ctx context.Context, log *place) (*tiles.View, error) {
	verifiers, err := scitt.NewCheckpointVerifiers(k.vkeys)
	if err != nil {
		return nil, err
	}
	return tiles.NewLog(log, verifiers).Latest(ctx)
}

// announced are the keys that entry 0 of a new log announces. It makes the
// recovery key. A crash behind that leaves its file, which the next start
// announces.
func (k keys) announced(dir keyDir) (*scitt.Keys, error) {
	recovery, err := readRecovery(dir)
	if errors.Is(err, fs.ErrNotExist) {
		var made crypto.Signer
		if made, err = makeKey(dir.file(recoveryKeyFile), "ES256"); err == nil {
			recovery = made.Public()
		}
	}
	if err != nil {
		return nil, err
	}
	receiptKey, err := scitt.NewKey(k.receipt.Public())
	if err != nil {
		return nil, err
	}
	serviceKey, err := scitt.NewKey(k.service.Public())
	if err != nil {
		return nil, err
	}
	thumbprint, err := scitt.Thumbprint(recovery)
	return &scitt.Keys{Note: k.vkeys[:1], Receipt: scitt.KeySet{receiptKey}, Service: scitt.KeySet{serviceKey}, Recovery: [][]byte{thumbprint}}, err
}

// RecoveryKey is the file of the recovery key that the first start makes.
func (d *Daemon) RecoveryKey() string { return d.keys.file(recoveryKeyFile) }

// checkRecovery holds the recovery key to what the log announces. It may be anywhere else;
// when it is here it must be one that is announced, since it is what the operator keeps.
func checkRecovery(dir keyDir, inForce *scitt.KeysInForce) error {
	recovery, err := readRecovery(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	thumbprint, err := scitt.Thumbprint(recovery)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(inForce.Recovery, func(r []byte) bool { return bytes.Equal(r, thumbprint) }) {
		return fmt.Errorf("the key in %s is not one that the log announces, so it recovers nothing: find the announced one, and remove this file", dir.file(recoveryKeyFile))
	}
	return nil
}

// loadKey reads a key of a log that is not there yet, or makes it.
func loadKey(dir keyDir, name, algorithm string) (crypto.Signer, error) {
	key, err := readKey(dir, name, algorithm)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if _, err := makeKey(dir.file(name), algorithm); err != nil {
		return nil, err
	}
	return readKey(dir, name, algorithm)
}

// readRecovery reads the public half of the recovery key, from a file that has
// both or, as [MakeKeys] makes it, only that one.
func readRecovery(dir keyDir) (crypto.PublicKey, error) {
	data, err := durable.ReadFile(dir.file(recoveryKeyFile))
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if public, err := scitt.ParsePublicKey(data); err == nil {
		return public.Public, nil
	}
	key, err := readKey(dir, recoveryKeyFile, "ES256")
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}

func readKey(dir keyDir, name, algorithm string) (crypto.Signer, error) {
	path, err := filepath.Abs(dir.file(name))
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	label, _, _ := strings.Cut(name, "-key")
	return openKey(dir, path, label, algorithm)
}

// openKey opens the key with a URI, or in a file.
func openKey(dir keyDir, uri, label, algorithm string) (crypto.Signer, error) {
	key, err := dir.open(uri, label)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", uri, err)
	}
	alg, err := scitt.AlgorithmFor(key.Public())
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", uri, err)
	}
	if got := scitt.AlgorithmName(alg); got != algorithm {
		return nil, fmt.Errorf("key %s: it is one for %s, not %s", uri, got, algorithm)
	}
	return key, nil
}

// makeKey makes a key and its file. A crash leaves the whole file or none.
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
