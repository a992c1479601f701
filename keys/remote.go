package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"filippo.io/mldsa"
)

// The wait before a signature is tried again grows from firstWait to maxWait.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 10 * time.Second
)

// ErrFinal is wrapped by errors of a Remote after which trying again is useless, such
// as one that a key of this kind cannot sign so long a message.
var ErrFinal = errors.New("it is not tried again")

// signer is the [crypto.Signer] of a Remote.
type signer struct {
	o      Options
	ctx    context.Context // crypto.Signer has none
	uri    string
	remote Remote
	public crypto.PublicKey

	mu     sync.Mutex
	failed error // of the last call; nil after a good one
	wait   time.Duration
	next   time.Time // no call before it
}

func (o Options) remote(ctx context.Context, uri string, open Opener) (crypto.Signer, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	remote, err := open(ctx, uri)
	if err != nil {
		return nil, err
	}
	s := &signer{o: o, ctx: ctx, uri: uri, remote: remote}
	err = s.try(func(ctx context.Context) (err error) {
		s.public, err = remote.Public(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the public key of %s: %w", Shown(uri), err)
	}
	switch s.public.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey, *mldsa.PublicKey:
		return s, nil
	}
	return nil, fmt.Errorf("%s: a key of type %T; there are ECDSA, Ed25519 and ML-DSA", uri, s.public)
}

// Public is the key that was fetched when this one was opened.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign returns a signature that verifies, or an error within [Options.Patience] and
// one more [Options.Timeout].
func (s *signer) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) (signature []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := hashOf(s.public)
	if hash != 0 && len(digest) != hash.Size() {
		return nil, fmt.Errorf("sign with %s: a digest of %d bytes, and %v has %d", s.uri, len(digest), hash, hash.Size())
	}
	err = s.try(func(ctx context.Context) error {
		start := time.Now()
		if signature, err = s.remote.Sign(ctx, digest, hash); err == nil && !verifies(s.public, digest, signature) {
			err = errors.New("the signature is wrong: it does not verify with the key that was there at the start")
		}
		if s.o.Signed != nil {
			s.o.Signed(time.Since(start), err)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", s.uri, err)
	}
	return signature, nil
}

// try calls until a call goes well or the patience is over. Whoever comes back before
// the next call is due gets the last error and calls nothing: a KMS that throttles
// is left alone, however often a checkpoint is due.
func (s *signer) try(call func(context.Context) error) error {
	end := time.Now().Add(s.o.Patience)
	for {
		if s.failed != nil && s.next.After(end) {
			return s.failed
		}
		if err := sleep(s.ctx, time.Until(s.next)); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.o.Timeout)
		err := call(ctx)
		if err != nil && ctx.Err() != nil && s.ctx.Err() == nil {
			err = fmt.Errorf("no answer within %v: %w", s.o.Timeout, err)
		}
		cancel()
		if s.failed = err; err == nil {
			s.wait, s.next = 0, time.Time{}
			return nil
		}
		if errors.Is(err, ErrFinal) || s.ctx.Err() != nil {
			s.failed = nil // the next message may be another one
			return err
		}
		s.wait = min(max(2*s.wait, firstWait), maxWait)
		s.next = time.Now().Add(s.wait)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hashOf is the hash that goes with a key: COSE has one for each curve (RFC 9053
// section 2.1, as the algorithms are used here). It is 0 where the message is signed.
func hashOf(public crypto.PublicKey) crypto.Hash {
	key, ok := public.(*ecdsa.PublicKey)
	switch {
	case !ok:
		return 0
	case key.Curve == elliptic.P256():
		return crypto.SHA256
	case key.Curve == elliptic.P384():
		return crypto.SHA384
	}
	return crypto.SHA512
}

func verifies(public crypto.PublicKey, digest, signature []byte) bool {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, digest, signature)
	case ed25519.PublicKey:
		return ed25519.Verify(public, digest, signature)
	case *mldsa.PublicKey:
		return mldsa.Verify(public, digest, signature, nil) == nil
	}
	return false
}

// counted tells of each signature of a key in memory.
type counted struct {
	crypto.Signer
	signed func(time.Duration, error)
}

// Sign implements [crypto.Signer].
func (c counted) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	start := time.Now()
	signature, err := c.Signer.Sign(random, digest, opts)
	c.signed(time.Since(start), err)
	return signature, err
}
