package personality

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Founder is the service as an issuer of its own statements.
type Founder struct {
	Issuer string // URL
	Origin string
	Key    crypto.Signer // the receipt key
	Now    func() time.Time
}

// Media types of the payloads of a service's own statements.
const (
	mediaKeySet = "application/cose-key-set"
	mediaPolicy = "application/vnd.conmotion.policy+json"
)

// SignPolicy signs a policy document as the service does: the log's first
// one, and those that come by its management interface.
func (f Founder) SignPolicy(document []byte) (*scitt.Statement, error) {
	return f.sign(scitt.SignOptions{Subject: scitt.PolicySubject(f.Origin), ContentType: mediaPolicy, Type: scitt.TypePolicy}, document)
}

func (f Founder) signKeys() (*scitt.Statement, error) {
	key, err := scitt.NewKey(f.Key.Public())
	if err != nil {
		return nil, err
	}
	set, err := scitt.KeySet{key}.Marshal()
	if err != nil {
		return nil, err
	}
	return f.sign(scitt.SignOptions{Subject: scitt.KeysSubject(f.Origin), ContentType: mediaKeySet, Type: scitt.TypeKeys}, set)
}

func (f Founder) sign(o scitt.SignOptions, payload []byte) (*scitt.Statement, error) {
	o.Issuer, o.IssuedAt = f.Issuer, f.Now()
	data, err := scitt.SignStatement(f.Key, o, payload)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", o.Subject, err)
	}
	return scitt.ParseStatement(data)
}

// Bootstrap gives the log its first entries, or finds the policy of a log
// that has them. The service's keys are entry 0 and the policy is entry 1, so
// that no statement of anybody else is alone in the tree: RFC 9942 does not
// allow the empty inclusion path that its Receipt would have.
//
// A crash in between leaves a log with entry 0 only; the next call goes on.
// The function policies gives the places of all policies, in order. Without a
// first policy (nil) a log that has none is left so: the result has no Statement.
func (f Founder) Bootstrap(ctx context.Context, log Log, policies func(context.Context) ([]uint64, error), first []byte) (*LoggedPolicy, error) {
	if log.Published().Checkpoint.Size == 0 {
		st, err := f.signKeys()
		if err != nil {
			return nil, err
		}
		if _, err := appendAndAwait(ctx, log, st); err != nil {
			return nil, fmt.Errorf("bootstrap: keys: %w", err)
		}
	}
	if err := f.checkKeys(ctx, log.Published()); err != nil {
		return nil, err
	}
	places, err := policies(ctx)
	if err != nil {
		return nil, err
	}
	// Nothing but the service's keys is ever registered before a policy.
	if size := log.Published().Checkpoint.Size; len(places) == 0 && size > 1 {
		return nil, fmt.Errorf("bootstrap: the log has %d entries and none of them is found to be its Registration Policy", size)
	}
	if len(places) == 0 && first == nil {
		return &LoggedPolicy{New: true}, nil
	}
	if len(places) == 0 {
		st, err := f.SignPolicy(first)
		if err != nil {
			return nil, err
		}
		index, err := appendAndAwait(ctx, log, st)
		if err != nil {
			return nil, fmt.Errorf("bootstrap: policy: %w", err)
		}
		return &LoggedPolicy{index, st, true}, nil
	}
	last := places[len(places)-1]
	entry, err := log.Published().Entry(ctx, last)
	if err != nil {
		return nil, fmt.Errorf("policy in force: %w", err)
	}
	st, err := scitt.ParseStatement(entry)
	if err != nil {
		return nil, fmt.Errorf("policy in force: entry %d: %w", last, err)
	}
	return &LoggedPolicy{last, st, false}, nil
}

// LoggedPolicy is the statement of a policy with its place in the log.
type LoggedPolicy struct {
	Index     uint64
	Statement *scitt.Statement
	New       bool // registered just now
}

// checkKeys holds the receipt key to what the log says of its service.
func (f Founder) checkKeys(ctx context.Context, view *tiles.View) error {
	entry, err := view.Entry(ctx, 0)
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	st, err := scitt.ParseStatement(entry)
	if err != nil || st.Type != scitt.TypeKeys {
		return errors.New("bootstrap: entry 0 is not the service's keys: this log was made by something else")
	}
	set, err := scitt.ParseKeySet(st.Payload)
	if err != nil {
		return fmt.Errorf("bootstrap: entry 0: %w", err)
	}
	kid, err := scitt.Thumbprint(f.Key.Public())
	if err != nil {
		return err
	}
	if _, err := set.Find(kid); err != nil {
		return fmt.Errorf("bootstrap: the receipt key is not the one that entry 0 of the log announces: %w", err)
	}
	return st.VerifySignature(f.Key.Public())
}

func appendAndAwait(ctx context.Context, log Log, st *scitt.Statement) (uint64, error) {
	wait, err := log.Append(ctx, st.Entry())
	if err != nil {
		return 0, err
	}
	index, _, err := wait(ctx)
	if err != nil {
		return 0, err
	}
	_, err = log.Await(ctx, index)
	return index, err
}
