package party

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
)

// Home is the directory in which a participant remembers between its
// commands; "" remembers nothing.
//
//	logs/HASH.json          a [KnownLog], by its origin
//	locks/HASH              held while one of these is written, or an issuer registers
//	journal/HASH/DIGEST     what an issuer signed and is not known to be registered
//	said/HASH/FROM-TO-HASH  what an issuer has in a log
//	proofs/HASH.json        that a log signed two histories, for anybody to verify
//	tokens/HOST             the user's token for the artifacts there: [Home.Token]
//	disclosure.key          of which the salts of hidden values are made: to be backed up
//	disclosures/DIGEST.json what hidden values are, by the digest of the payload
//	names.json              what the user calls issuers and logs: [Names]
//
// Every file is replaced in one step: a crash leaves the old one or the new
// one, and perhaps a temporary file beside it whose name begins with a dot. A
// registration removes it, an hour later.
type Home string

// DefaultHome is the directory conmotion in the user's configuration
// directory.
func DefaultHome() (Home, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no directory to remember logs in; name one: %w", err)
	}
	return Home(filepath.Join(dir, "conmotion")), nil
}

// formatLog names the format of a [KnownLog].
const formatLog = "conmotion-log/1"

// maxAddresses is how many addresses of a log are remembered, the last ones.
const maxAddresses = 16

// KnownLog is what is remembered of a log. All addresses of one origin are one
// log: what was seen at one of them holds for the others.
type KnownLog struct {
	Format string   `json:"format"`
	Origin string   `json:"origin"`
	VKeys  []string `json:"vkeys"` // sorted
	// FirstUse reports that the keys are the log's own word, taken when it was
	// first opened. Otherwise they were given.
	FirstUse bool      `json:"first_use,omitempty"`
	Since    time.Time `json:"since"` // when the keys were first seen
	// Keys is the keys statement in force: where it is in the log. What it
	// announces is there, and cannot be anything else, since the entry id is a
	// hash of it. It is nil for a log that lists none.
	Keys *scitt.ConfigurationKeys `json:"keys_statement,omitempty"`
	// Compromised are the thumbprints of the keys that it says others may have.
	Compromised [][]byte `json:"compromised,omitempty"`
	// WitnessPolicy is the one that was given for it last (C2SP tlog-policy).
	WitnessPolicy string `json:"witness_policy,omitempty"`
	// Checkpoint is the newest one that was seen at any address, as it is signed.
	Checkpoint string `json:"checkpoint"`
	// Addresses are URLs and directories where the log was seen, the newest ones first.
	Addresses []string `json:"addresses"`

	newest *scitt.Checkpoint // Checkpoint, verified
}

var (
	// ErrDamaged is wrapped when a file in Home is not what was written there.
	ErrDamaged = errors.New("is damaged")
	// ErrKeysChanged is wrapped when an address shows other keys than it did
	// before, or a log other keys than the remembered one of its origin.
	ErrKeysChanged = errors.New("the log's keys changed, or this is another log")
	// errMoved reports that another process wrote what is remembered meanwhile.
	errMoved = errors.New("what is remembered of the log changed")
)

// glob gives the names in Home that match a pattern, as it does whatever
// characters the name of Home has.
func (h Home) glob(pattern string) ([]string, error) { return fs.Glob(os.DirFS(string(h)), pattern) }

// leftoverAge is how old a temporary file is of which no writer is at work any more.
const leftoverAge = time.Hour

// clean removes what interrupted writes left in Home.
func (h Home) clean() error {
	if h == "" {
		return nil
	}
	for _, pattern := range []string{".", "logs", "proofs", "disclosures", "journal/*", "said/*"} {
		dirs, err := h.glob(pattern)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if err := durable.Clean(filepath.Join(string(h), dir), leftoverAge); err != nil {
				return fmt.Errorf("remove what an interrupted command left: %w", err)
			}
		}
	}
	return nil
}

func hashName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

func (h Home) logFile(origin string) string {
	return filepath.Join(string(h), "logs", hashName(origin)+".json")
}

// Known returns what is remembered of the log with an origin; nil when that is nothing.
func (h Home) Known(origin string) (*KnownLog, error) {
	if h == "" {
		return nil, nil
	}
	path := h.logFile(origin)
	data, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remembered logs: %w", err)
	}
	return h.parse(path, data)
}

func (h Home) parse(path string, data []byte) (*KnownLog, error) {
	var k struct {
		KnownLog
		Location string `json:"location"`
	}
	data, err := durable.Unseal(data)
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err == nil && k.Format == "" && k.Location != "" {
		return nil, fmt.Errorf("%s is of an older conmotion, which remembered a log once for each address; remove the directories logs and checkpoints in %s, and logs are taken on first use anew", path, h)
	}
	if err != nil || k.Format != formatLog || len(k.Addresses) == 0 || path != h.logFile(k.Origin) {
		return nil, fmt.Errorf("%s %w; remove it to trust its log anew", path, ErrDamaged)
	}
	cv, err := scitt.NewCheckpointVerifiers(k.VKeys)
	if err == nil {
		cv.Tree, cv.PQ = nil, nil // a log may have been opened with its note key alone
		k.newest, err = cv.Open([]byte(k.Checkpoint))
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w; remove it to trust its log anew: %w", path, ErrDamaged, err)
	}
	return &k.KnownLog, nil
}

// Logs returns everything that is remembered, in the order of the files' names.
func (h Home) Logs() (logs []*KnownLog, err error) {
	if h == "" {
		return nil, nil
	}
	files, err := h.glob("logs/*.json")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		path := filepath.Join(string(h), file)
		data, err := durable.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(filepath.Base(path), ".") {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("remembered logs: %w", err)
		}
		k, err := h.parse(path, data)
		if err != nil {
			return nil, err
		}
		logs = append(logs, k)
	}
	return logs, nil
}

// recall returns the log that was seen at an address, and the one with an
// origin; nil where there is none.
func (h Home) recall(address, origin string) (here, named *KnownLog, err error) {
	logs, err := h.Logs()
	for _, k := range logs {
		if k.Origin == origin {
			named = k
		}
		if slices.Contains(k.Addresses, address) {
			here = k
		}
	}
	return here, named, err
}

// remember replaces what was remembered of a log, which was seen at an address,
// if that is still before; else the error is errMoved, and next has to be
// compared with what is there now. A crash leaves what was there, or next.
func (h Home) remember(ctx context.Context, before *KnownLog, next KnownLog, address string) error {
	if h == "" {
		return nil
	}
	done, err := h.lock(ctx, "log\x00"+next.Origin)
	if err != nil {
		return fmt.Errorf("remember the log: %w", err)
	}
	defer done()
	now, err := h.Known(next.Origin)
	if err != nil {
		return err
	}
	if (now == nil) != (before == nil) || now != nil && (now.Checkpoint != before.Checkpoint || !slices.Equal(now.VKeys, before.VKeys)) {
		return errMoved
	}
	next.Format = formatLog
	if now != nil && scitt.NoteVKey(now.VKeys) == scitt.NoteVKey(next.VKeys) {
		next.Addresses = now.Addresses
	}
	if n := next.Addresses; !slices.Contains(n, address) {
		next.Addresses = append([]string{address}, n[:min(len(n), maxAddresses-1)]...)
	}
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(h.logFile(next.Origin), durable.Seal(append(data, '\n'))); err != nil {
		return fmt.Errorf("remember the log: %w", err)
	}
	return nil
}

// sameKeys compares sets of verifier keys.
func sameKeys(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// writeFile replaces a file of Home, and makes its directory.
func writeFile(path string, data []byte) error {
	_, err := durable.Replace(path, data, 0o600)
	return err
}

// ReceiptKeys are the keys for Receipts among a log's verifier keys.
func (k *KnownLog) ReceiptKeys() scitt.KeySet {
	var set scitt.KeySet
	for _, vkey := range k.VKeys {
		if key, err := scitt.TreeKey(vkey); err == nil {
			set = append(set, key)
		}
	}
	return append(set, compromised(k.Compromised)...)
}

// compromised are keys of which nothing is needed but their thumbprints.
func compromised(thumbprints [][]byte) (set scitt.KeySet) {
	for _, id := range thumbprints {
		set = append(set, scitt.Key{ID: id})
	}
	return set
}
