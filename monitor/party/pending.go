package party

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// pendingDir keeps what was signed until it is registered:
//
//	pending/HASH/DIGEST.cose    Signed Statements that belong together, one after the other (RFC 8742)
//
// Files are named by their content, so that commands that run at the same time
// never touch each other's.
type pendingDir string

// pending is the directory for an issuer's statements to the log with this key.
func (h Home) pending(vkey, issuer string) pendingDir {
	if h == "" {
		return ""
	}
	return pendingDir(filepath.Join(string(h), "pending", hashName(vkey+"\x00"+issuer)))
}

func (p pendingDir) file(statements []byte) string {
	sum := sha256.Sum256(statements)
	return filepath.Join(string(p), hex.EncodeToString(sum[:])+".cose")
}

// keep keeps statements, before they are sent.
func (p pendingDir) keep(statements []byte) error {
	if p == "" {
		return nil
	}
	if err := writeFile(p.file(statements), statements); err != nil {
		return fmt.Errorf("keep what was signed: %w", err)
	}
	return nil
}

// forget lets statements go. A crash before leaves them to be registered
// again, which changes nothing in the log.
func (p pendingDir) forget(statements []byte) error {
	if p == "" {
		return nil
	}
	if err := os.Remove(p.file(statements)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what was signed: %w", err)
	}
	return nil
}

// left gives what earlier runs left, by file.
func (p pendingDir) left() ([][]byte, error) {
	if p == "" {
		return nil, nil
	}
	files, err := os.ReadDir(string(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what an earlier run left: %w", err)
	}
	var out [][]byte
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".cose") || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(string(p), f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // by whom it belongs to
		}
		if err != nil {
			return nil, fmt.Errorf("what an earlier run left: %w", err)
		}
		if p.file(data) != filepath.Join(string(p), f.Name()) {
			return nil, fmt.Errorf("%s is damaged: it is not what its name says. Nothing is registered before it is looked at or removed", filepath.Join(string(p), f.Name()))
		}
		out = append(out, data)
	}
	return out, nil
}

// split takes a CBOR sequence apart.
func split(sequence []byte) (items [][]byte, err error) {
	for len(sequence) > 0 {
		var item cbor.RawMessage
		rest, err := cbor.UnmarshalFirst(sequence, &item)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", len(items), err)
		}
		items, sequence = append(items, item), rest
	}
	return items, nil
}
