package party

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// saidDir keeps what an issuer has said in a log, so that a log need not be
// read from its beginning each time:
//
//	said/HASH/FROM-TO-DIGEST    the statements among the entries from FROM up to, and not including, TO
//
// A file is a line of JSON, a newline and rows of key, entry id and index
// (32, 32 and 8 bytes). It is named by its content, is never changed, and counts
// only where the log extends the checkpoint that it was read at. Files that are
// missing, damaged or of another history cost time and nothing else.
type saidDir string

func (h Home) said(vkey, issuer string) saidDir {
	if h == "" {
		return ""
	}
	return saidDir(filepath.Join(string(h), "said", hashName(vkey+"\x00"+issuer)))
}

// saidHead is the first line of a file.
type saidHead struct {
	From  uint64                `json:"from"`
	To    uint64                `json:"to"`
	Root  []byte                `json:"root"`  // of the log with TO entries
	Heads map[string]chainPlace `json:"heads"` // as they are at TO
}

const rowSize = 2*sha256.Size + 8

// manyFiles is how many files are kept before they become one.
const manyFiles = 16

func (d saidDir) name(from, to uint64, content []byte) string {
	sum := sha256.Sum256(content)
	return filepath.Join(string(d), fmt.Sprintf("%d-%d-%s", from, to, hex.EncodeToString(sum[:16])))
}

// load reads what Home remembers and the log does not contradict.
func (d saidDir) load(ctx context.Context, s *said, view *tiles.View) error {
	heads, err := d.list()
	if err != nil {
		return err
	}
	for {
		// The file that leads farthest from here.
		best := -1
		for i, f := range heads {
			if f.From <= s.size && f.To > s.size && f.To <= view.Checkpoint.Size && (best < 0 || f.To > heads[best].To) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		head, rows, err := readSaid(heads[best].path)
		switch {
		case err != nil || head.From != heads[best].From || head.To != heads[best].To:
		default:
			err := view.Consistency(ctx, &scitt.Checkpoint{Origin: view.Checkpoint.Origin, Size: head.To, Root: head.Root})
			if err == nil {
				s.take(head, rows)
			} else if !errors.Is(err, scitt.ErrProof) {
				return err
			}
		}
		heads = slices.Delete(heads, best, best+1)
	}
}

// take takes a file's content.
func (s *said) take(head *saidHead, rows []row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rows {
		if old, ok := s.at[r.key]; !ok || r.Index < old.Index {
			s.at[r.key] = r.place
		}
	}
	for name, h := range head.Heads {
		s.forward(name, h)
	}
	s.size, s.base = head.To, head.To
}

type saidName struct {
	path     string
	From, To uint64
}

func (d saidDir) list() ([]saidName, error) {
	if d == "" {
		return nil, nil
	}
	files, err := os.ReadDir(string(d))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("what was recorded before: %w", err)
	}
	var out []saidName
	for _, f := range files {
		n := saidName{path: filepath.Join(string(d), f.Name())}
		if _, err := fmt.Sscanf(f.Name(), "%d-%d-", &n.From, &n.To); err == nil && n.From < n.To {
			out = append(out, n)
		}
	}
	return out, nil
}

// readSaid reads a file that is what its name says.
func readSaid(path string) (*saidHead, []row, error) {
	data, err := durable.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(data)
	if !strings.HasSuffix(path, hex.EncodeToString(sum[:16])) {
		return nil, nil, errors.New("damaged")
	}
	return parseSaid(data)
}

func parseSaid(data []byte) (*saidHead, []row, error) {
	line, rest, ok := bytes.Cut(data, []byte("\n"))
	var head saidHead
	if err := json.Unmarshal(line, &head); err != nil || !ok || len(rest)%rowSize != 0 || len(head.Root) != sha256.Size {
		return nil, nil, errors.New("damaged")
	}
	rows := make([]row, 0, len(rest)/rowSize)
	for ; len(rest) > 0; rest = rest[rowSize:] {
		r := row{key: contentKey(rest[:32])}
		r.ID, r.Index = scitt.EntryID(rest[32:64]), binary.BigEndian.Uint64(rest[64:])
		if r.Index >= head.To {
			return nil, nil, errors.New("damaged")
		}
		rows = append(rows, r)
	}
	return &head, rows, nil
}

func formatSaid(head saidHead, rows []row) ([]byte, error) {
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	data := append(line, '\n')
	for _, r := range rows {
		data = append(append(data, r.key[:]...), r.ID[:]...)
		data = binary.BigEndian.AppendUint64(data, r.Index)
	}
	return data, nil
}

// save remembers what is new, when the log has been read up to the view's end.
// A crash in here leaves the files as they were, or one that says what others
// say as well.
func (d saidDir) save(s *said, view *tiles.View) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cp := view.Checkpoint
	if d == "" || s.size != cp.Size || s.size == s.base {
		return nil
	}
	files, err := d.list()
	if err != nil {
		return err
	}
	head := saidHead{From: s.base, To: s.size, Root: cp.Root, Heads: s.heads}
	rows := s.fresh
	whole := len(files) >= manyFiles
	if whole {
		head.From, rows = 0, nil
		for key, p := range s.at {
			rows = append(rows, row{key, p})
		}
		slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(a.key[:], b.key[:]) })
	}
	data, err := formatSaid(head, rows)
	if err != nil {
		return err
	}
	if err := writeFile(d.name(head.From, head.To, data), data); err != nil {
		return fmt.Errorf("remember what was recorded: %w", err)
	}
	s.base, s.fresh = s.size, nil
	if whole {
		for _, f := range files {
			if f.To <= head.To {
				// What is left is read in vain and nothing else.
				_ = os.Remove(f.path)
			}
		}
	}
	return nil
}
