package party

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/scitt/did"
)

// Writer registers one issuer's statements with one service. It is not safe
// for concurrent use.
type Writer struct {
	Service string // URL
	Key     crypto.Signer
	Issuer  string

	options  Options
	client   *client.Client
	store    *client.Artifacts
	log      *Log
	receipts scitt.KeySet
	chains   map[string]*monitor.Chain
	said     *said // nil until a chain's head is asked for
	pending  pendingDir
	required bool // the policy in force asks for a chain
}

// NewWriter opens the log of a service and makes the writer of an issuer; the
// key's did:jwk when issuer is "".
func NewWriter(ctx context.Context, service string, key crypto.Signer, issuer string, o Options, c client.Options) (*Writer, error) {
	if !IsURL(service) {
		return nil, fmt.Errorf("%q is not the URL of a service, such as https://transparency.example", service)
	}
	if issuer == "" {
		var err error
		if issuer, err = did.NewJWK(key.Public()); err != nil {
			return nil, err
		}
	}
	w := &Writer{Service: service, Key: key, Issuer: issuer, options: o, chains: map[string]*monitor.Chain{}}
	var err error
	if w.client, err = client.New(service, c); err != nil {
		return nil, err
	}
	if w.store, err = client.NewArtifacts(service, o.Token, c); err != nil {
		return nil, err
	}
	o.Newest = true // what the issuer said last is in it
	if w.log, err = Open(ctx, service, o); err != nil {
		return nil, err
	}
	if w.receipts, err = w.log.ReceiptKeys(ctx); err != nil {
		return nil, err
	}
	w.required = chainRequired(w.log.Configuration)
	w.pending = o.Home.pending(w.log.Key(), issuer)
	return w, nil
}

// chainRequired says whether the policy in force asks every statement for its
// chain. The service judges; this is only to know what to send.
func chainRequired(c *scitt.Configuration) bool {
	var p struct {
		Chain string `json:"chain"`
	}
	return c != nil && json.Unmarshal(c.Policy.Document, &p) == nil && p.Chain == "required"
}

// Log is the log as it was when the writer last looked.
func (w *Writer) Log() *Log { return w.log }

// Published is a statement that is registered.
type Published struct {
	Statement   *scitt.Statement
	Transparent []byte // with the Receipt, which has been verified
	Ref         monitor.EntryRef
	// Resumed says that an earlier run had signed it and did not get to the end.
	Resumed bool
}

// Sign makes the bytes of a statement; link is nil when it is in no chain.
type Sign func(link *scitt.ChainLink) ([]byte, error)

// Resume registers what earlier runs signed and did not get registered.
func (w *Writer) Resume(ctx context.Context) (resumed []*Published, err error) {
	left, err := w.pending.left()
	if err != nil {
		return nil, err
	}
	for _, file := range left {
		done, err := w.resume(ctx, file)
		resumed = append(resumed, done...)
		if err != nil {
			return resumed, fmt.Errorf("finish what an earlier run began: %w", err)
		}
		if err := w.pending.forget(file); err != nil {
			return resumed, err
		}
	}
	return resumed, nil
}

// resume registers the statements of one file, up to one that is refused, such
// as for a chain that went on without it: that is not in the log, nor is what
// comes behind it.
func (w *Writer) resume(ctx context.Context, file []byte) (resumed []*Published, err error) {
	statements, err := split(file)
	if err != nil {
		return nil, err
	}
	var parsed []*scitt.Statement
	for _, data := range statements {
		st, err := scitt.ParseStatement(data)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, st)
	}
	for len(statements) > 0 {
		n := sendable(statements)
		receipts, err := w.registerMany(ctx, parsed[:n], statements[:n])
		refs, checkErr := w.checkAll(parsed, receipts)
		if checkErr != nil {
			return resumed, checkErr
		}
		for i, ref := range refs {
			transparent := scitt.AttachReceipts(parsed[i], append(parsed[i].Receipts, receipts[i])...)
			resumed = append(resumed, &Published{Statement: parsed[i], Transparent: transparent, Ref: ref, Resumed: true})
		}
		switch {
		case refused(err):
			w.options.notice("notice: %d statements that an earlier run signed are not in the log and let go, what they are about has to be said again: %v",
				len(statements)-len(refs), err)
			return resumed, nil
		case err == nil && len(refs) < n:
			err = errPart
		}
		if err != nil {
			return resumed, err
		}
		statements, parsed = statements[n:], parsed[n:]
	}
	return resumed, nil
}

// refused says that a service judged a statement and does not admit it.
func refused(err error) bool {
	p, ok := errors.AsType[*scitt.Problem](err)
	return ok && p.Status == 400
}

// Head implements [monitor.ChainLog]: it looks for the end of the issuer's own
// chain in the published log, of which Home remembers what was read before. Register
// waits for the Receipt, so what it has acknowledged is there.
func (w *Writer) Head(ctx context.Context, _, name string) (*monitor.Head, error) {
	if err := w.log.Refresh(ctx, w.options); err != nil {
		return nil, err
	}
	dir := w.options.Home.said(w.log.Key(), w.Issuer)
	if w.said == nil {
		var err error
		if w.said, err = w.readSaid(ctx, dir, nil); err != nil {
			return nil, err
		}
	} else if err := w.said.read(ctx, w.log.View, nil); err != nil {
		return nil, err
	}
	return w.said.head(name), dir.save(w.said, w.log.View)
}

// Register implements [monitor.ChainLog]. The Receipt has been verified. Until
// it is there, or the statement surely is not in the log, Home keeps the bytes.
func (w *Writer) Register(ctx context.Context, statement []byte) (transparent []byte, err error) {
	if err := w.pending.keep(statement); err != nil {
		return nil, err
	}
	if transparent, err = w.register(ctx, statement); err == nil || refused(err) {
		err = errors.Join(err, w.pending.forget(statement))
	}
	return transparent, err
}

func (w *Writer) register(ctx context.Context, statement []byte) ([]byte, error) {
	s, err := scitt.ParseStatement(statement)
	if err != nil {
		return nil, err
	}
	receipts := s.Receipts
	switch r, err := w.client.Register(ctx, statement); {
	case err == nil:
		receipts = append(receipts, r.Receipt)
	case errors.Is(err, scitt.ErrRegistered):
		if s, err = w.registered(ctx, s); err != nil {
			return nil, err
		}
		receipts = s.Receipts
	default:
		return nil, err
	}
	transparent := scitt.AttachReceipts(s, receipts...)
	if _, err := w.check(transparent); err != nil {
		return nil, fmt.Errorf("the service's receipt is not good: %w", err)
	}
	return transparent, nil
}

// verifier verifies Transparent Statements of this log, by this issuer.
func (w *Writer) verifier() scitt.Verifier {
	return scitt.Verifier{LogKeys: w.receipts, IssuerKey: &scitt.Key{Public: w.Key.Public()}, Leaf: []scitt.LeafMode{scitt.LeafEntry}, At: time.Now()}
}

// check verifies a Transparent Statement as one of this log, by this issuer.
func (w *Writer) check(transparent []byte) (*scitt.Receipt, error) {
	v := w.verifier()
	out, err := v.Verify(transparent)
	if err != nil {
		return nil, err
	}
	if err := out.Err(); err != nil {
		return nil, err
	}
	for _, r := range out.Receipts {
		if r.Err != nil || r.Receipt.Subject != w.log.View.Checkpoint.Origin {
			continue
		}
		if _, _, ok := r.Receipt.Place(); ok {
			return r.Receipt, nil
		}
	}
	return nil, fmt.Errorf("%w: no receipt is of the log %s", scitt.ErrProof, w.log.View.Checkpoint.Origin)
}

func (w *Writer) published(statement, transparent []byte) (*Published, error) {
	s, err := scitt.ParseStatement(statement)
	if err != nil {
		return nil, err
	}
	r, err := w.check(transparent)
	if err != nil {
		return nil, err
	}
	index, _, _ := r.Place()
	return &Published{Statement: s, Transparent: transparent, Ref: w.ref(place{index, s.ID()})}, nil
}

// smallArtifact is up to which size an artifact is sent without asking first
// whether it is there.
const smallArtifact = 32 << 10

// Store stores an artifact with the service and gives its URL.
func (w *Writer) Store(ctx context.Context, content []byte) (location string, err error) {
	digest := sha256.Sum256(content)
	if len(content) <= smallArtifact {
		_, err = w.store.PutBytes(ctx, digest, content)
	} else {
		_, err = w.store.Put(ctx, digest, bytes.NewReader(content), int64(len(content)))
	}
	if err != nil {
		return "", err
	}
	return w.store.URL(digest), nil
}

// Now is the time of signing.
func (w *Writer) Now() time.Time { return w.options.now() }
