package party

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/witness"
)

var (
	// ErrReceipt is wrapped when a service's Receipt does not verify.
	ErrReceipt = errors.New("the service's receipt is not good")
	// ErrIssuerKey is wrapped when a log has a content with another signature, and
	// the issuer's key that would verify it is not known.
	ErrIssuerKey = errors.New("the service holds the content with another signature, and the key of its issuer is not known; give --issuer-key")
)

// maxRun is how many statements are sent at a time, and maxRunBytes how large
// they are all together. A log of this project takes 1000, and 4 MiB.
const (
	maxRun      = 1000
	maxRunBytes = 3 << 20
)

// service is a Transparency Service that registers statements.
type service struct {
	url string

	log       *Log // nil when the service shows none
	options   Options
	client    *client.Client
	keys      witness.Keys // of its Receipts
	leaves    []scitt.LeafMode
	issuer    string        // whose drafts it registers; "" when statements come signed
	issuerKey *scitt.Key    // of the statements' issuer; nil when they bring their own
	timeout   time.Duration // for one call; 0 for none
	down      error         // why nothing can be registered
	run       atomic.Int64  // statements that are sent at a time

	// With issuer:
	store    *client.Artifacts
	journal  journal
	required struct{ chain, artifact bool } // by the policy in force
	dir      saidDir
	mu       sync.Mutex // for the first reading
	said     *said      // nil until then
	progress func(done, size uint64)
}

// registered is a statement as a log has it, with its Receipt, which verifies.
type registered struct {
	*scitt.Statement
	receipt  []byte
	more     [][]byte         // by the log's ML-DSA-44 key: see [service.second]
	location string           // URL of the Receipt
	ref      monitor.EntryRef // without Index and Origin when the Receipt does not say where it is
}

// register registers statements in order, up to the first that fails; the error is
// about that one. Where the log has the content with another signature, or its Receipt
// is of other bytes, the result is the statement that the log has.
func (s *service) register(ctx context.Context, statements []signed) (done []registered, err error) {
	if s.down != nil {
		return nil, s.down
	}
	ctx, cancel := s.within(ctx)
	defer cancel()
	for len(done) < len(statements) {
		rest := statements[len(done):]
		data := make([][]byte, len(rest))
		for i, st := range rest {
			data[i] = st.data
		}
		answers, err := s.client.RegisterAll(ctx, data)
		good, wrong := s.check(rest, answers)
		done = append(done, good...)
		location := ""
		switch p, _ := errors.AsType[*scitt.Problem](err); {
		case wrong != nil:
			location, err = answers[len(good)].Location, fmt.Errorf("%w for entry %v: %w", ErrReceipt, rest[len(good)].ID(), wrong)
		case errors.Is(err, scitt.ErrRegistered) && p != nil:
			location = p.Location
		case err != nil:
			return done, err
		default:
			continue
		}
		other, otherErr := s.other(ctx, rest[len(good)].Statement, location)
		switch {
		case otherErr == nil:
			done = append(done, other)
		case wrong != nil:
			return done, err
		default:
			return done, otherErr
		}
	}
	return done, nil
}

// within bounds one call.
func (s *service) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.timeout)
}

// check verifies Receipts, up to the first that is not good. Those of one checkpoint have
// one signature, which is verified once.
func (s *service) check(statements []signed, answers []client.Registration) (good []registered, err error) {
	var last *scitt.Receipt
	var lastRoot []byte
	for i, a := range answers {
		st := statements[i].Statement
		r, err := scitt.ParseReceipt(a.Receipt)
		if err != nil {
			return good, err
		}
		root, err := r.Root(st.Entry())
		if err != nil || last == nil || !r.SameSignature(last) || !bytes.Equal(root, lastRoot) {
			leaf, err := s.verify(st, r, a.Receipt)
			if err != nil {
				return good, err
			}
			last, lastRoot = nil, nil
			if leaf == scitt.LeafEntry { // else it is another root that is signed
				last, lastRoot = r, root
			}
		}
		g := registered{Statement: st, receipt: a.Receipt, location: a.Location}
		if g.ref, err = s.refOf(st, r); err != nil {
			return good, err
		}
		good = append(good, g)
	}
	return good, nil
}

// verify verifies one Receipt, and returns what its log has as the leaf.
func (s *service) verify(st *scitt.Statement, r *scitt.Receipt, receipt []byte) (leaf scitt.LeafMode, err error) {
	keys := s.keys.For([][]byte{receipt})
	for i, leaf := range s.leaves {
		switch e := keys.VerifyReceipt(r, leaf.Leaf(st)); {
		case e == nil:
			return leaf, r.Validity.At(time.Now())
		case i == 0:
			err = e
		}
	}
	return "", err
}

// vouches reports whether a Receipt is this service's and verifies.
func (s *service) vouches(st *scitt.Statement, receipt []byte) bool {
	return s.judge(st, receipt) == nil
}

// issued reports whether a Receipt is this service's, though it may have expired.
func (s *service) issued(st *scitt.Statement, receipt []byte) bool {
	err := s.judge(st, receipt)
	return err == nil || errors.Is(err, scitt.ErrTime)
}

func (s *service) judge(st *scitt.Statement, receipt []byte) error {
	r, err := scitt.ParseReceipt(receipt)
	if err == nil {
		_, err = s.verify(st, r, receipt)
	}
	return err
}

// refOf returns where a Receipt says that an entry is. For the log of an issuer's
// drafts it must say so.
func (s *service) refOf(st *scitt.Statement, r *scitt.Receipt) (monitor.EntryRef, error) {
	ref := monitor.EntryRef{EntryID: st.ID().String()}
	index, _, ok := r.Place()
	switch {
	case s.log != nil && r.Subject != s.log.Origin():
		return ref, fmt.Errorf("%w: it is of the log %q and not of %q", scitt.ErrProof, r.Subject, s.log.Origin())
	case ok:
		ref.Index, ref.Origin = index, r.Subject
	case s.issuer != "":
		return ref, fmt.Errorf("%w: it does not say where the entry is", scitt.ErrProof)
	}
	return ref, nil
}

// ref names an entry of the log.
func (s *service) ref(p place) monitor.EntryRef {
	return monitor.EntryRef{EntryID: p.ID.String(), Index: p.Index, Origin: s.log.Origin()}
}

// other fetches the statement that the log has with the same content and another
// signature. That must verify with the key that verifies the statement's own.
func (s *service) other(ctx context.Context, st *scitt.Statement, location string) (registered, error) {
	v := scitt.Verifier{LogKeys: s.keys.For(nil), IssuerKey: s.issuerKey, Leaf: s.leaves, At: time.Now()}
	own, err := v.Verify(st.Entry())
	if err != nil {
		return registered{}, err
	}
	if own.SignatureErr != nil && own.KeySource != "" {
		return registered{}, fmt.Errorf("the signature of the statement itself: %w", own.SignatureErr)
	}
	other, err := s.client.Registered(ctx, st, location, v)
	if own.KeySource == "" && errors.Is(err, scitt.ErrUnknownKey) {
		err = fmt.Errorf("%w: %w", ErrIssuerKey, err)
	}
	if err != nil {
		return registered{}, err
	}
	for _, receipt := range other.Receipts {
		good, err := s.check([]signed{{Statement: other}}, []client.Registration{{Location: location, Receipt: receipt}})
		if err == nil {
			return good[0], nil
		}
	}
	return registered{}, fmt.Errorf("%w: no receipt of the registered statement is this service's", scitt.ErrProof)
}

// second fetches the Receipt by the ML-DSA-44 key of a log that has one, which is in its
// Transparent Statement only. Without it the statement is registered all the same.
func (s *service) second(ctx context.Context, r *registered) {
	if !slices.ContainsFunc(s.keys.Named, scitt.Key.PostQuantum) {
		return
	}
	data, err := s.client.TransparentStatement(ctx, r.ID().String())
	var st *scitt.Statement
	if err == nil {
		st, err = scitt.DecodeStatement(data)
	}
	if err == nil {
		r.more = slices.DeleteFunc(st.Receipts, func(receipt []byte) bool {
			parsed, err := scitt.ParseReceipt(receipt)
			return err != nil || !parsed.PostQuantum() || !s.vouches(r.Statement, receipt)
		})
	}
	if len(r.more) == 0 {
		s.options.notice("notice: the service at %s has a key of ML-DSA-44 and gave no receipt by it for entry %v; ask again with conmotion receipt --transparent%s", s.url, r.ID(), because(err))
	}
}

// because is an error for the end of a sentence.
func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// refused reports whether a service judged a statement and does not admit it.
func refused(err error) bool {
	p, ok := errors.AsType[*scitt.Problem](err)
	return ok && p.Status == http.StatusBadRequest
}

// item is a statement on its way to a service.
type item struct {
	signed
	draft int // -1 when an earlier run left it
}

// pass registers items in order, and calls took for each. It ends at one that is
// refused, unless skip returns true.
func (s *service) pass(ctx context.Context, items []item, took func(item, registered) error, skip func(item, error) bool) error {
	for len(items) > 0 {
		var part []signed
		size := 0
		for _, it := range items {
			if size += len(it.data); len(part) > 0 && (size > maxRunBytes || len(part) == int(s.run.Load())) {
				break
			}
			part = append(part, it.signed)
		}
		done, err := s.register(ctx, part)
		for i, r := range done {
			if err := took(items[i], r); err != nil {
				return err
			}
		}
		if items = items[len(done):]; err == nil {
			s.faster()
			continue
		}
		if !refused(err) {
			return err
		}
		if !skip(items[0], err) {
			return nil
		}
		items = items[1:]
		s.slower()
	}
	return nil
}

// faster and slower adapt how many are sent at a time: what follows a statement
// that is refused is sent in vain.
func (s *service) faster() { s.run.Store(min(2*s.run.Load(), maxRun)) }
func (s *service) slower() { s.run.Store(max(1, s.run.Load()/2)) }

// known returns what the issuer has said in the log. The first call reads the log; it is
// safe for concurrent use.
func (s *service) known(ctx context.Context) (*said, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said != nil {
		return s.said, nil
	}
	said := newSaid(s.issuer, s.issuerKey.Public)
	if err := s.dir.load(ctx, said, s.log.View); err != nil {
		return nil, err
	}
	if err := said.read(ctx, s.log.View, s.progress); err != nil {
		return nil, err
	}
	s.said = said
	return said, s.dir.save(said, s.log.View)
}

// catchUp reads what is new in the log.
func (s *service) catchUp(ctx context.Context) error {
	if err := s.log.Refresh(ctx, s.options); err != nil {
		return err
	}
	return s.said.read(ctx, s.log.View, nil)
}

// save remembers what is in the log.
func (s *service) save(ctx context.Context) error {
	if s.said == nil {
		return nil
	}
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	return s.dir.save(s.said, s.log.View)
}

// smallArtifact is up to which size artifacts are stored many at a time, and one is sent without
// asking first whether it is there.
const smallArtifact = 32 << 10

// storeArtifacts stores contents: one of any size, or small ones.
func (s *service) storeArtifacts(ctx context.Context, contents [][]byte) error {
	if len(contents) > 1 {
		return s.store.PutAll(ctx, contents)
	}
	var err error
	if content := contents[0]; len(content) <= smallArtifact {
		_, err = s.store.PutBytes(ctx, sha256.Sum256(content), content)
	} else {
		_, err = s.store.Put(ctx, sha256.Sum256(content), bytes.NewReader(content), int64(len(content)))
	}
	return err
}

// readPolicy reads what the policy in force requires. The service judges; this is
// only to know what to send.
func (s *service) readPolicy() {
	var p struct {
		Chain    string `json:"chain"`
		Artifact string `json:"artifact"`
	}
	if c := s.log.Configuration; c != nil && json.Unmarshal(c.Policy.Document, &p) == nil {
		s.required.chain, s.required.artifact = p.Chain == "required", p.Artifact == "required"
	}
}
