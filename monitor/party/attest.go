package party

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// Attested is a statement that is registered, and kept in Home until its caller
// has been told of it.
type Attested struct {
	*Published
	file string
}

// Done lets go of the statement: to say the same from now on is to say it once more.
func (s *Attested) Done() error {
	if s.file == "" {
		return nil
	}
	if err := os.Remove(s.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what was said: %w", err)
	}
	return nil
}

// Attest signs and registers what words tell, which is all that makes it another
// statement than the next one: what is embedded, or the time of signing, may be
// different in the bytes of a second attempt. chain is the name of the chain
// that it is in where the policy requires one.
//
// The bytes are in Home before they are sent, and stay there until Done. A
// crash anywhere between, and the same words again register the same bytes:
// the log has one entry for them. Other statements that are left are not
// touched: they are for who says them again.
func (w *Writer) Attest(ctx context.Context, words []string, chain string, sign Sign) (*Attested, error) {
	file := w.attestedFile(words)
	if done, err := w.attestAgain(ctx, file); done != nil || err != nil {
		return done, err
	}
	keep := func(link *scitt.ChainLink) ([]byte, error) {
		statement, err := sign(link)
		if err != nil || file == "" {
			return statement, err
		}
		if err := writeFile(file, statement); err != nil {
			return nil, fmt.Errorf("keep what was signed: %w", err)
		}
		return statement, nil
	}
	var statement, transparent []byte
	var err error
	if w.required {
		c := w.chains[chain]
		if c == nil {
			c = &monitor.Chain{Log: w, Issuer: w.Issuer, Name: chain}
			w.chains[chain] = c
		}
		statement, transparent, err = c.Append(ctx, keep)
	} else if statement, err = keep(nil); err == nil {
		transparent, err = w.register(ctx, statement)
	}
	if refused(err) { // it is not in the log, and will not be
		return nil, errors.Join(err, (&Attested{file: file}).Done())
	}
	if err != nil {
		return nil, err
	}
	p, err := w.published(statement, transparent)
	return &Attested{p, file}, err
}

// attestAgain registers what an earlier run signed; nil when there is nothing, or
// the service does not admit it (any more).
func (w *Writer) attestAgain(ctx context.Context, file string) (*Attested, error) {
	if file == "" {
		return nil, nil
	}
	statement, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what an earlier run left: %w", err)
	}
	s, err := scitt.ParseStatement(statement)
	if err != nil || s.Issuer != w.Issuer || s.VerifySignature(w.Key.Public()) != nil {
		return nil, fmt.Errorf("%s is damaged: it is no statement of %s. Remove it to sign anew", file, w.Issuer)
	}
	transparent, err := w.register(ctx, statement)
	if err == nil || refused(err) {
		// A statement in a chain is pending too.
		err = errors.Join(err, w.pending.forget(statement))
	}
	if refused(err) { // such as a chain that went on without it
		return nil, (&Attested{file: file}).Done()
	}
	if err != nil {
		return nil, fmt.Errorf("finish what an earlier run began: %w", err)
	}
	w.options.notice("notice: an earlier run signed this on %s and did not get to the end; its statement is the one that counts", time.Unix(s.IssuedAt, 0).UTC().Format(time.RFC3339))
	p, err := w.published(statement, transparent)
	if err != nil {
		return nil, err
	}
	p.Resumed = true
	return &Attested{p, file}, nil
}

// attestedFile is where Home keeps a statement of these words:
//
//	attested/HASH/WORDS.cose    by log and issuer, and by what it says
func (w *Writer) attestedFile(words []string) string {
	if w.options.Home == "" {
		return ""
	}
	dir := hashName(w.log.Key() + "\x00" + w.Issuer)
	return filepath.Join(string(w.options.Home), "attested", dir, hashName(fmt.Sprintf("%q", words))+".cose")
}

// SignOrStore signs a payload inline where it fits into an entry, or else stores it
// with the service and signs its hash. sign gets the options to sign it with. The
// error wraps scitt.ErrTooLarge where neither can be done.
func (w *Writer) SignOrStore(ctx context.Context, payload []byte, link *scitt.ChainLink, sign func(scitt.SignOptions) ([]byte, error)) ([]byte, error) {
	o := scitt.SignOptions{Issuer: w.Issuer, IssuedAt: w.Now(), Chain: link}
	statement, err := sign(o)
	if !errors.Is(err, scitt.ErrTooLarge) {
		return statement, err
	}
	// In storage before it is in the log: a crash between leaves an artifact
	// that nothing speaks of.
	if o.Location, err = w.Store(ctx, payload); err != nil {
		return nil, fmt.Errorf("%w: an entry holds %d bytes, and the service at %s does not store its payload of %d bytes as an artifact; register it with a service that does: %w",
			scitt.ErrTooLarge, scitt.MaxEntrySize, w.Service, len(payload), err)
	}
	o.Hash = true
	return sign(o)
}
