package party

import (
	"context"
	"crypto"
	"crypto/sha256"
	"sync"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// said is what one issuer has said in a log: which content is in it, and where
// its chains end. It is read from the log's entries, so it is right without
// what Home remembers of it. It is safe for concurrent use.
type said struct {
	issuer string
	key    crypto.PublicKey

	mu    sync.RWMutex
	at    map[contentKey]place
	heads map[string]chainPlace
	size  uint64 // the entries before it are in here
	fresh []row  // that no file of Home has
	base  uint64 // the entries before it are in files of Home
}

// contentKey is the SHA-256 of a statement's typ, a zero byte and the SHA-256
// of its content: the same event is the same content, inline or as an artifact.
type contentKey [sha256.Size]byte

func newContentKey(typ string, digest [sha256.Size]byte) contentKey {
	return sha256.Sum256(append(append([]byte(typ), 0), digest[:]...))
}

// keyOf is that of a statement.
func keyOf(s *scitt.Statement) contentKey {
	digest, ok := s.ContentSHA256()
	if !ok {
		digest = sha256.Sum256(s.Payload)
	}
	return newContentKey(s.Type, digest)
}

// place is where content stands in the log.
type place struct {
	Index uint64
	ID    scitt.EntryID
}

// chainPlace is the record of a chain with the highest seq: a Registration Policy
// holds the next one to it.
type chainPlace struct {
	place
	Seq uint64
}

// row is a statement of the issuer, as it is remembered.
type row struct {
	key contentKey
	place
}

func newSaid(issuer string, key crypto.PublicKey) *said {
	return &said{issuer: issuer, key: key, at: map[contentKey]place{}, heads: map[string]chainPlace{}}
}

// find says where content is; ok is false when the issuer did not say it.
func (s *said) find(key contentKey) (p place, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok = s.at[key]
	return p, ok
}

// head is the end of a chain; nil when it has not begun.
func (s *said) head(name string) *scitt.Head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok := s.heads[name]
	if !ok {
		return nil
	}
	return &scitt.Head{Seq: h.Seq, ID: h.ID}
}

// Chains are the ends of the issuer's chains in the first log, by name.
func (r *Registrar) Chains(ctx context.Context) (map[string]scitt.Head, error) {
	s, err := r.services[0].known(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	chains := make(map[string]scitt.Head, len(s.heads))
	for name, h := range s.heads {
		chains[name] = scitt.Head{Seq: h.Seq, ID: h.ID}
	}
	return chains, nil
}

func (s *said) entries() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.size
}

// add notes a statement that is in the log. Where all before it is known, the
// log need not be read to know it.
func (s *said) add(st *scitt.Statement, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(keyOf(st), place{index, st.ID()}, st.Chain)
	if index == s.size {
		s.size++
	}
}

func (s *said) note(key contentKey, p place, link *scitt.ChainLink) {
	if old, ok := s.at[key]; !ok || p.Index < old.Index {
		s.at[key] = p // the first one is what is meant
		s.fresh = append(s.fresh, row{key, p})
	}
	if link == nil {
		return
	}
	s.forward(link.Name, chainPlace{p, link.Seq})
}

// forward moves the head of a chain. A record with a seq that was there forks the
// chain, or is a copy of an older one: the head stays.
func (s *said) forward(name string, p chainPlace) {
	if h, ok := s.heads[name]; !ok || p.Seq > h.Seq {
		s.heads[name] = p
	}
}

// spoken is a statement of the issuer in the log.
type spoken struct {
	key  contentKey
	at   place
	link *scitt.ChainLink
}

// read reads what is new in the log.
func (s *said) read(ctx context.Context, view *tiles.View, progress func(done, size uint64)) error {
	from, to := s.entries(), view.Checkpoint.Size
	if from >= to {
		return nil
	}
	bundle := func(ctx context.Context, n uint64) ([]spoken, error) {
		var found []spoken
		for e, err := range view.Entries(ctx, max(from, n*tiles.Width), min(to, (n+1)*tiles.Width)) {
			if err != nil {
				return nil, err
			}
			st, err := scitt.DecodeEntry(e.Data)
			// What others say in the issuer's name does not count.
			if err != nil || st.Issuer != s.issuer || st.VerifySignature(s.key) != nil {
				continue
			}
			found = append(found, spoken{keyOf(st), place{e.Index, st.ID()}, st.Chain})
		}
		return found, nil
	}
	for n, r := range parallel.Ordered(ctx, from/tiles.Width, (to-1)/tiles.Width+1, parallel.CPUs(), bundle) {
		if r.Err != nil {
			return r.Err
		}
		s.mu.Lock()
		for _, f := range r.Value {
			s.note(f.key, f.at, f.link)
		}
		s.size = min(to, (n+1)*tiles.Width)
		s.mu.Unlock()
		if progress != nil {
			progress(s.size, to)
		}
	}
	return nil
}
