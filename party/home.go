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

	"github.com/conmotion/conmotion/scitt"
)

// Home is the directory in which a participant remembers between its
// commands; "" remembers nothing.
//
//	logs/HASH.json          keys and newest checkpoint of a log, by its location
//	checkpoints/HASH        the newest checkpoint seen of a log anywhere, by its key
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
	return WriteFile(h.logFile(k.Location), append(data, '\n'))
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
	return WriteFile(h.checkpointFile(vkey), cp.Raw)
}

// sameKeys compares sets of verifier keys.
func sameKeys(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// WriteFile replaces a file in one step, and makes its directory. A crash
// leaves the old file or the new one, never a part, and perhaps a temporary
// file beside it whose name begins with a dot.
func WriteFile(path string, data []byte) error { return writeFile(path, data, 0o700, 0o600) }

// writePublic is WriteFile for what everybody may read.
func writePublic(path string, data []byte) error { return writeFile(path, data, 0o755, 0o644) }

func writeFile(path string, data []byte, dirMode, mode os.FileMode) (err error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	// The name must not reach the disk before the content.
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
