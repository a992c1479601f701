package party

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/witness"
)

// RegistrarOptions say what is registered, and where.
type RegistrarOptions struct {
	Options // how the services' logs are opened, and their artifact storages
	// Services are URLs.
	Services []string
	// Keys of the services' Receipts, one for each; else those of their logs, or
	// what a service without a log gives: see [OpenService].
	Keys []witness.Keys
	// Timeout is for registering one statement with one service; 0 for none.
	Timeout time.Duration

	// Key signs drafts for Issuer, by default the key's did:jwk. Without a key, drafts
	// must be signed statements.
	Key    crypto.Signer
	Issuer string
	// IssuerKey verifies other signatures of statements that come signed.
	IssuerKey *scitt.Key
	// Holds is the type of the statements whose events are held to what the issuer said before of the same objects in the
	// first log; "" for none. What is older than that is Late, and a deletion of what is gone is Unchanged.
	Holds string
	// Progress is told how much of a log is read, when not nil.
	Progress func(done, size uint64)
}

// Registrar registers statements with services: see [Registrar.Register].
type Registrar struct {
	// KeepGoing registers what follows a statement that is refused.
	KeepGoing bool
	AllowLate bool   // what is late is registered as a correction
	Scanning  bool   // what says how things are, and that is known, is Unchanged
	Issuer    string // of drafts

	key      crypto.Signer
	options  Options
	services []*service
	saved    time.Time
	holding  *holding // nil when nothing is held
	begun    bool     // what earlier runs left is finished
}

// NewRegistrar opens the services. The first one must be reachable, and with a Key all of
// them: a statement is in the other logs' chains as it is in the first one's.
func NewRegistrar(ctx context.Context, o RegistrarOptions) (*Registrar, error) {
	if len(o.Services) == 0 || len(o.Keys) > 0 && len(o.Keys) != len(o.Services) {
		return nil, fmt.Errorf("%d services, and keys of %d", len(o.Services), len(o.Keys))
	}
	if err := o.Home.clean(); err != nil {
		return nil, err
	}
	r := &Registrar{Issuer: o.Issuer, key: o.Key, options: o.Options, saved: time.Now()}
	if r.key != nil && r.Issuer == "" {
		var err error
		if r.Issuer, err = did.NewJWK(r.key.Public()); err != nil {
			return nil, err
		}
	}
	for i, url := range o.Services {
		s := &service{url: url, timeout: o.Timeout, issuerKey: o.IssuerKey, leaves: []scitt.LeafMode{scitt.LeafEntry, scitt.LeafDigest}}
		s.run.Store(maxRun)
		var err error
		if s.client, err = client.New(url, o.Client); err != nil {
			return nil, err
		}
		if r.key != nil {
			s.issuer, s.issuerKey, s.leaves = r.Issuer, &scitt.Key{Public: r.key.Public()}, s.leaves[:1]
		}
		err = s.open(ctx, i, o)
		if err != nil && (i == 0 || r.key != nil) {
			return nil, err
		}
		s.down = err
		for _, other := range r.services {
			if other.url == url || s.log != nil && other.log != nil && r.key != nil && other.log.Key() == s.log.Key() {
				return nil, fmt.Errorf("%s and %s are the same log, which is named twice", other.url, url)
			}
		}
		r.services = append(r.services, s)
	}
	if o.Holds != "" {
		r.holding = newHolding(o.Home, r.services[0], r.Issuer, o.Holds)
	}
	return r, nil
}

// open reads the keys of a service, and opens its log.
func (s *service) open(ctx context.Context, i int, o RegistrarOptions) (err error) {
	if len(o.Keys) > 0 {
		s.keys = o.Keys[i]
		if s.issuer == "" {
			return nil
		}
	}
	ctx, cancel := s.within(ctx)
	defer cancel()
	s.options, s.progress = o.Options, o.Progress
	s.options.Newest = true // nothing is registered with a log that went back
	if i > 0 && s.issuer != "" {
		s.options.VKeys = nil // they are those of the first log
	}
	var named scitt.KeySet
	if s.log, named, err = OpenService(ctx, s.url, s.options); err != nil {
		if answer, ok := errors.AsType[keysError](err); ok {
			err = fmt.Errorf("%w: %w", errNoKeys, answer)
		}
		return err
	}
	if len(o.Keys) == 0 {
		s.keys.Named = named
	}
	if s.issuer == "" {
		return nil
	}
	if s.log == nil {
		return fmt.Errorf("%w at %s: statements are signed for logs that show their files", ErrNoLog, s.url)
	}
	token, err := o.token(s.url)
	if err != nil {
		return err
	}
	if s.store, err = client.NewArtifacts(s.url, token, o.Client); err != nil {
		return err
	}
	s.readPolicy()
	s.dir = o.Home.said(s.log.Key(), s.issuer)
	s.journal, err = o.Home.journal(s.log.Key(), s.issuer)
	return err
}

// Log is the first service's log as it was last read; nil when the service shows none.
func (r *Registrar) Log() *Log { return r.services[0].log }

// Now is the time of signing.
func (r *Registrar) Now() time.Time { return r.options.now() }

// chain is the name of the chain that a draft's statement continues; "" for none.
func (r *Registrar) chain(d Draft) string {
	if d.Chain != "" || !r.services[0].required.chain {
		return d.Chain
	}
	name, _, _ := strings.Cut(d.Options.Subject, "/")
	return name
}

// uploads is how many artifacts are stored at a time, where each has a request of its own.
const uploads = 32

// storeAll stores the contents of the drafts that are to be hash envelopes, as
// far as the log has no statement about them, and notes where they are, or that
// the storage does not take them. It may run while Register is busy with other
// drafts. A crash leaves artifacts of which no statement speaks; the next run
// finds them stored.
func (r *Registrar) storeAll(ctx context.Context, drafts []Draft) error {
	var small, single []*Draft
	for i := range drafts {
		d := &drafts[i]
		if !d.Options.Hash {
			continue
		}
		said, err := r.services[0].known(ctx)
		if err != nil {
			return err
		}
		if _, ok := said.find(d.key()); ok {
			continue
		}
		if r.Scanning && r.holding.same(r.Issuer, d) {
			continue // it is stored when it is signed after all
		}
		if len(d.Content) <= smallArtifact {
			small = append(small, d)
		} else {
			single = append(single, d)
		}
	}
	for len(small) > 0 {
		n, size := 0, 0
		for n < min(len(small), maxRun) && size < maxRunBytes {
			size += len(small[n].Content)
			n++
		}
		err := r.store(ctx, small[:n]...)
		if _, refused := errors.AsType[*scitt.Problem](err); refused { // it takes no batch, or not one of these
			single = append(single, small[:n]...)
		} else if err != nil {
			return err
		}
		small = small[n:]
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	for _, d := range single {
		g.Go(func() error {
			err := r.store(ctx, d)
			if p, ok := errors.AsType[*scitt.Problem](err); ok && (p.Status == http.StatusBadRequest || p.Status == http.StatusRequestEntityTooLarge) {
				d.refused, err = err, nil // it is about this content
			}
			return err
		})
	}
	return g.Wait()
}

// store stores the content of one draft, or of several whose contents are small.
func (r *Registrar) store(ctx context.Context, drafts ...*Draft) error {
	contents := make([][]byte, len(drafts))
	for i, d := range drafts {
		contents[i] = d.Content
	}
	for n, s := range r.services {
		if n > 0 && !s.required.artifact {
			continue
		}
		if err := s.storeArtifacts(ctx, contents); n > 0 && err != nil {
			return fmt.Errorf("%s: %w", s.url, err)
		} else if err != nil {
			return err
		}
	}
	for _, d := range drafts {
		d.Options.Location = r.services[0].store.URL(sha256.Sum256(d.Content))
	}
	return nil
}

// save remembers what is in the logs. Of what events are held to that is for [Registrar.Scan], when one follows.
func (r *Registrar) save(ctx context.Context) error {
	for _, s := range r.services {
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	if r.Scanning {
		return nil
	}
	return r.holding.save(ctx)
}
