package party

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
)

// Home is the directory in which a participant remembers between its
// commands; "" remembers nothing.
//
//	logs/HASH.json          keys and newest checkpoint of a log, by its location
//	checkpoints/HASH        the newest checkpoint seen of a log anywhere, by its key
//	attested/HASH/*.cose    see [Writer.Attest]
//	proofs/HASH.json        that a log signed two histories, for anybody to verify
//
// Every file is replaced in one step: a crash leaves the old one or the new
// one, and perhaps a temporary file beside it whose name begins with a dot.
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

// known is what is remembered of the log at a location.
type known struct {
	Location   string    `json:"location"`
	Origin     string    `json:"origin"`
	VKeys      []string  `json:"vkeys"` // sorted
	Since      time.Time `json:"since"` // when the keys were first seen
	Checkpoint string    `json:"checkpoint"`
}

// ErrDamaged is wrapped when a file in Home is not what was written there.
var ErrDamaged = errors.New("is damaged")

// ErrKeysChanged says that a location shows other keys than it did before.
var ErrKeysChanged = errors.New("the log's keys changed")

func hashName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

func (h Home) logFile(location string) string {
	return filepath.Join(string(h), "logs", hashName(location)+".json")
}

func (h Home) checkpointFile(vkey string) string {
	return filepath.Join(string(h), "checkpoints", hashName(vkey))
}

// known reads what is remembered of a location; nil when there is nothing.
func (h Home) known(location string) (*known, error) {
	if h == "" {
		return nil, nil
	}
	path := h.logFile(location)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remembered logs: %w", err)
	}
	var k known
	if err := json.Unmarshal(data, &k); err != nil || k.Location != location {
		return nil, fmt.Errorf("%s %w; remove it to trust the log at %s anew", path, ErrDamaged, location)
	}
	return &k, nil
}

// remember notes the keys and the newest checkpoint of a location.
func (h Home) remember(k known) error {
	if h == "" {
		return nil
	}
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.logFile(k.Location), append(data, '\n'))
}

// seen gives the newest checkpoint that was seen anywhere of the log with this
// key; nil when none was.
func (h Home) seen(vkey string, cv scitt.CheckpointVerifiers) (*scitt.Checkpoint, error) {
	if h == "" {
		return nil, nil
	}
	path := h.checkpointFile(vkey)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remembered checkpoints: %w", err)
	}
	cp, err := cv.Open(raw)
	if err != nil {
		return nil, fmt.Errorf("%s %w: %w", path, ErrDamaged, err)
	}
	return cp, nil
}

// see notes a checkpoint as the newest one.
func (h Home) see(vkey string, cp *scitt.Checkpoint) error {
	if h == "" {
		return nil
	}
	return writeFile(h.checkpointFile(vkey), cp.Raw)
}

// sameKeys compares sets of verifier keys.
func sameKeys(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// writeFile replaces a file of Home, and makes its directory. What is there
// already is not written again.
func writeFile(path string, data []byte) error { return replace(path, data, 0o700, 0o600) }

// writePublic is writeFile for what everybody may read.
func writePublic(path string, data []byte) error { return replace(path, data, 0o755, 0o644) }

func replace(path string, data []byte, dirMode, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	return durable.WriteFile(path, data, mode)
}

// KnownLog is where a log was seen, and the keys that were taken for it.
type KnownLog struct {
	Location string
	VKeys    []string
}

// Known gives the places where the log with this origin was seen. Logs with
// different keys that use one origin are an error: it cannot be said which
// one is meant.
func (h Home) Known(origin string) ([]KnownLog, error) {
	if h == "" {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(string(h), "logs", "*.json"))
	if err != nil {
		return nil, err
	}
	var found []KnownLog
	for _, path := range files {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("remembered logs: %w", err)
		}
		var k known
		if err := json.Unmarshal(data, &k); err != nil {
			return nil, fmt.Errorf("%s %w; remove it to trust its log anew", path, ErrDamaged)
		}
		if k.Origin != origin {
			continue
		}
		if len(found) > 0 && !sameKeys(found[0].VKeys, k.VKeys) {
			return nil, fmt.Errorf("the logs at %s and %s both call themselves %q, with different keys", found[0].Location, k.Location, origin)
		}
		found = append(found, KnownLog{k.Location, k.VKeys})
	}
	return found, nil
}

// ReceiptKeys are the keys for Receipts among a log's verifier keys.
func (k KnownLog) ReceiptKeys() scitt.KeySet {
	var set scitt.KeySet
	for _, vkey := range k.VKeys {
		if key, err := scitt.TreeKey(vkey); err == nil {
			set = append(set, key)
		}
	}
	return set
}
