package cosigner

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// Log is a log whose checkpoints a witness cosigns.
type Log struct {
	Origin string
	// VKeys are the verifier keys that may sign for the log, in the order in which
	// they were added: after a change of keys there may be several.
	VKeys   []string
	PerDay  uint64 // how many checkpoints it may have cosigned in a day
	Contact string
	URL     string // where its files are; "" when that is not known

	keys []note.Verifier // those of VKeys
	tree []note.Verifier // those that sign Receipts, which alone do not make a checkpoint
}

// ErrLog is wrapped when a log cannot be cosigned, or its list cannot be read.
var ErrLog = errors.New("not a log that can be cosigned")

func badLog(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrLog, fmt.Errorf(format, args...))
}

// NewLog makes a log with one verifier key: Ed25519, a key that signs in the form
// of cosignatures (type 0x04 or 0x06), or the key of a log's Receipts. An empty
// origin is the name of the key. Errors wrap ErrLog.
func NewLog(vkey, origin string, perDay uint64, contact string) (*Log, error) {
	l := &Log{Origin: origin, VKeys: []string{vkey}, PerDay: perDay, Contact: contact}
	v, receipts, err := logVerifier(vkey)
	if err != nil {
		return nil, badLog("verifier key %.100q: %w", vkey, err)
	}
	if l.Origin == "" {
		l.Origin = v.Name()
	}
	if l.Origin != strings.TrimSpace(l.Origin) || strings.ContainsFunc(l.Origin, func(r rune) bool { return r < ' ' }) {
		return nil, badLog("the origin %.100q has control characters, or spaces around it", l.Origin)
	}
	if perDay == 0 {
		return nil, badLog("%s may have no checkpoint a day", l.Origin)
	}
	if receipts {
		l.tree = append(l.tree, v)
	} else {
		l.keys = append(l.keys, v)
	}
	return l, nil
}

// logVerifier reads the key of a log, and reports whether it is one of Receipts.
func logVerifier(vkey string) (v note.Verifier, receipts bool, err error) {
	if tree, err := scitt.NewTreeVerifier(vkey); err == nil {
		return tree, true, nil
	}
	v, _, err = witness.LogVerifier(vkey)
	return v, false, err
}

// add adds what another item of a list says of the same log.
func (l *Log) add(o *Log) error {
	for _, vkey := range o.VKeys {
		if slices.Contains(l.VKeys, vkey) {
			return badLog("%s: the verifier key is there twice: %.100q", l.Origin, vkey)
		}
	}
	l.VKeys = append(l.VKeys, o.VKeys...)
	l.keys = append(l.keys, o.keys...)
	l.tree = append(l.tree, o.tree...)
	l.PerDay, l.Contact = o.PerDay, o.Contact
	return nil
}

// List is logs by their origins.
type List map[string]*Log

// maxLine bounds a line of a list in bytes. An ML-DSA-44 key has 1,760.
const maxLine = 16 << 10

// ParseList reads a list of logs in the format of the witness network
// (transparency-dev/witness-network, log-list-format.md):
//
//	logs/v0
//
//	vkey VKEY
//	[origin ORIGIN]
//	qpd QPD
//	contact CONTACT
//
// Several items with one origin are one log with several keys. An item whose key
// or origin cannot be used goes to skip, which may return an error to end it. Errors
// wrap ErrLog.
func ParseList(r io.Reader, skip func(error) error) (List, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	list, header, n := List{}, false, 0
	var item map[string]string // keys are those of the format that were read
	flush := func() error {
		if item == nil {
			return nil
		}
		if item["contact"] == "" {
			return badLog("line %d: an item ends without qpd and contact", n)
		}
		perDay, _ := strconv.ParseUint(item["qpd"], 10, 31)
		l, err := NewLog(item["vkey"], item["origin"], perDay, item["contact"])
		if err == nil && list[l.Origin] != nil {
			err = list[l.Origin].add(l)
		} else if err == nil {
			list[l.Origin] = l
		}
		if err != nil {
			return skip(err)
		}
		return nil
	}
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if !header {
			if line != "logs/v0" {
				return nil, badLog("line %d: %.100q is not logs/v0", n, line)
			}
			header = true
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		value = strings.TrimSpace(value)
		after := map[string][]string{"vkey": nil, "origin": {"vkey"}, "qpd": {"vkey", "origin"}, "contact": {"qpd"}}
		wants, known := after[key]
		if !known || value == "" {
			return nil, badLog("line %d: %.100q is not vkey, origin, qpd or contact with a value", n, line)
		}
		if key == "vkey" {
			if err := flush(); err != nil {
				return nil, err
			}
			item = map[string]string{"vkey": value, "last": key}
			continue
		}
		if item == nil || !slices.Contains(wants, item["last"]) {
			return nil, badLog("line %d: %s is not where it belongs: vkey, origin, qpd, contact", n, key)
		}
		// "It MUST be a number in the range [1, 2^31) encoded as an ASCII decimal
		// [...] with no leading zeroes."
		if qpd, err := strconv.ParseUint(value, 10, 31); key == "qpd" && (err != nil || qpd == 0 || strconv.FormatUint(qpd, 10) != value) {
			return nil, badLog("line %d: %.100q is not a number from 1 to 2147483647", n, value)
		}
		item[key], item["last"] = value, key
	}
	if err := lines.Err(); err != nil {
		return nil, badLog("line %d: %w", n+1, err)
	}
	if !header {
		return nil, badLog("the first line is not logs/v0")
	}
	return list, flush()
}

// Marshal writes a list that ParseList reads, in the order of the origins.
func (l List) Marshal() []byte {
	b := []byte("logs/v0\n")
	origins := make([]string, 0, len(l))
	for origin := range l {
		origins = append(origins, origin)
	}
	slices.Sort(origins)
	for _, origin := range origins {
		for _, vkey := range l[origin].VKeys {
			b = fmt.Appendf(b, "\nvkey %s\n", vkey)
			if name, _, _ := strings.Cut(vkey, "+"); name != origin {
				b = fmt.Appendf(b, "origin %s\n", origin)
			}
			b = fmt.Appendf(b, "qpd %d\ncontact %s\n", l[origin].PerDay, l[origin].Contact)
		}
	}
	return b
}

// Add adds a key of a log, or a log with a key. Errors wrap ErrLog.
func (l List) Add(one *Log) error {
	if l[one.Origin] == nil {
		l[one.Origin] = one
		return nil
	}
	return l[one.Origin].add(one)
}
