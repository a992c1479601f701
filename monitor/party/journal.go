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
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
)

// journal keeps what an issuer signed for a log, from before it is sent until
// the log has it:
//
//	journal/HASH/DIGEST    HASH is of the log's key and the issuer, DIGEST of the file
//
// A file is a line of JSON, a newline and a sequence of Signed Statements that
// belong together (RFC 8742). It is named by its content and never changed, so
// commands that run at the same time do not touch each other's files.
type journal string

const formatJournal = "conmotion-journal/1"

// kept is a file of a journal.
type kept struct {
	Format string `json:"format"`
	// Words is the hash of a draft's Words. The file stays until the caller is done,
	// and only a draft with the same Words uses it.
	Words string `json:"words,omitempty"`
	// After is the key of the log that must have the statements first.
	After string `json:"after,omitempty"`

	statements []signed
	path       string
}

// signed is a statement and its bytes, with all that stands in its unprotected header.
type signed struct {
	*scitt.Statement
	data []byte
}

func parseSigned(data []byte) (signed, error) {
	st, err := scitt.ParseStatement(data)
	return signed{st, data}, err
}

// journal returns the journal of an issuer for the log with this key. Files that an
// older conmotion left are an error.
func (h Home) journal(vkey, issuer string) (journal, error) {
	if h == "" {
		return "", nil
	}
	for _, dir := range []string{"pending", "attested"} {
		left, err := h.glob(dir + "/*/*.cose")
		if err != nil {
			return "", err
		}
		if len(left) > 0 {
			return "", fmt.Errorf("%s is of an older conmotion, and has statements that were signed and may not be registered yet; run the command that signed them with that version once more, or remove the file to sign anew", filepath.Join(string(h), left[0]))
		}
	}
	return journal(filepath.Join(string(h), "journal", hashName(vkey+"\x00"+issuer))), nil
}

// keep writes statements before they are sent. A crash leaves the whole file, or none,
// and then nothing was sent.
func (j journal) keep(k kept) (path string, err error) {
	if j == "" {
		return "", nil
	}
	k.Format = formatJournal
	data, err := json.Marshal(k)
	if err != nil {
		return "", err
	}
	data = append(data, '\n')
	for _, s := range k.statements {
		data = append(data, s.data...)
	}
	path = j.file(data)
	if err := writeFile(path, data); err != nil {
		return "", fmt.Errorf("keep what was signed: %w", err)
	}
	return path, nil
}

func (j journal) file(data []byte) string {
	sum := sha256.Sum256(data)
	return filepath.Join(string(j), hex.EncodeToString(sum[:]))
}

// forget removes a file; "" is none. A crash before leaves the statements to be
// registered again, which changes nothing in the log.
func forget(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what was signed: %w", err)
	}
	return nil
}

// left reads what earlier runs left. A damaged file is an error: its statements may be
// in the log.
func (j journal) left() (all []kept, err error) {
	if j == "" {
		return nil, nil
	}
	files, err := os.ReadDir(string(j))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("what an earlier run left: %w", err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue
		}
		path := filepath.Join(string(j), f.Name())
		data, err := durable.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the command that wrote it removed it
		}
		if err != nil {
			return nil, fmt.Errorf("what an earlier run left: %w", err)
		}
		k, err := parseKept(data)
		if err == nil && j.file(data) != path {
			err = errors.New("it is not what its name says")
		}
		if err != nil {
			return nil, fmt.Errorf("%s %w: %w. Nothing is registered before it is looked at; remove it to sign anew", path, ErrDamaged, err)
		}
		k.path = path
		all = append(all, k)
	}
	return all, nil
}

func parseKept(data []byte) (k kept, err error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := json.Unmarshal(line, &k); err != nil {
		return k, err
	}
	if k.Format != formatJournal {
		return k, fmt.Errorf("its format is %q and not %q", k.Format, formatJournal)
	}
	items, err := scitt.SplitSequence(rest)
	if err != nil {
		return k, err
	}
	for _, item := range items {
		s, err := parseSigned(item)
		if err != nil {
			return k, err
		}
		k.statements = append(k.statements, s)
	}
	if len(k.statements) == 0 || k.Words != "" && len(k.statements) > 1 {
		return k, fmt.Errorf("it has %d statements", len(k.statements))
	}
	return k, nil
}
