package party

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// errNoSecrets is wrapped when nothing can be kept secret without a home.
var errNoSecrets = errors.New("hidden values are kept in the home, and there is none")

// DisclosureSecret returns the secret of which the salts of hidden values are made, and
// makes it the first time: a crash leaves none, or one with which nothing was hidden yet.
// Where something was hidden with one that is lost, the error wraps ErrDamaged: another
// one would make other digests of the same values, and every event would be registered again.
func (h Home) DisclosureSecret(ctx context.Context) (*disclosure.Secret, error) {
	if h == "" {
		return nil, errNoSecrets
	}
	done, err := h.lock(ctx, "disclosure.key")
	if err != nil {
		return nil, err
	}
	defer done()
	path, s := filepath.Join(string(h), "disclosure.key"), &disclosure.Secret{}
	text, err := durable.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if hidden, err := h.glob("disclosures/*.json"); err != nil || len(hidden) > 0 {
			return nil, errors.Join(err, fmt.Errorf("%s %w: it is lost, and values were hidden with it. Put back the one that was saved. Without it the same events would be registered a second time, "+
				"with other digests; if that is meant, move %s away", path, ErrDamaged, filepath.Join(string(h), "disclosures")))
		}
		if _, err := rand.Read(s[:]); err != nil {
			return nil, err
		}
		return s, writeFile(path, append(hex.AppendEncode(nil, s[:]), '\n'))
	case err != nil:
		return nil, err
	}
	raw, err := hex.DecodeString(strings.TrimSuffix(string(text), "\n"))
	if err != nil || len(raw) != len(s) {
		return nil, fmt.Errorf("%s %w; put back the one that was saved", path, ErrDamaged)
	}
	copy(s[:], raw)
	return s, nil
}

func (h Home) disclosures(payload reader.Digest) string {
	return filepath.Join(string(h), "disclosures", payload.String()+".json")
}

// KeepDisclosures keeps a document with all its disclosures, before anything of it is
// sent. It is durable when it returns; a crash leaves it, or nothing, and a document
// that was never registered does no harm.
func (h Home) KeepDisclosures(d *disclosure.Document) error {
	if h == "" {
		return errNoSecrets
	}
	payload := reader.Digest(sha256.Sum256(d.Payload))
	if _, err := h.Disclosures(payload); err == nil {
		return nil // of one payload and one secret there is one
	}
	data, err := d.Marshal()
	if err != nil {
		return err
	}
	return writeFile(h.disclosures(payload), append(data, '\n'))
}

// Disclosures returns the document with the hidden values of a payload, by the SHA-256
// of it. The error wraps [fs.ErrNotExist] when there is none.
func (h Home) Disclosures(payload reader.Digest) (*disclosure.Document, error) {
	if h == "" {
		return nil, errNoSecrets
	}
	path := h.disclosures(payload)
	data, err := durable.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d, err := disclosure.Parse(data)
	if err == nil && sha256.Sum256(d.Payload) != payload {
		err = errors.New("it is of another payload")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w: %w", path, ErrDamaged, err)
	}
	return d, nil
}
