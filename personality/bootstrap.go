package personality

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// Founder is the service as an issuer of its own statements.
type Founder struct {
	Issuer string // URL
	Origin string
	Key    crypto.Signer // a service key
	Now    func() time.Time
}

// mediaPolicy is the media type of a policy document.
const mediaPolicy = "application/vnd.conmotion.policy+json"

// SignPolicy signs a policy document as the service does: the log's first
// one, and those that come by its management interface.
func (f Founder) SignPolicy(document []byte) (*scitt.Statement, error) {
	return f.sign(scitt.SignOptions{Subject: scitt.PolicySubject(f.Origin), ContentType: mediaPolicy, Type: scitt.TypePolicy}, document)
}

// SignKeys signs the payload of a keys statement as the service does.
func (f Founder) SignKeys(payload []byte) (*scitt.Statement, error) {
	return f.sign(scitt.SignOptions{Subject: scitt.KeysSubject(f.Origin), ContentType: scitt.MediaTypeKeys, Type: scitt.TypeKeys}, payload)
}

func (f Founder) sign(o scitt.SignOptions, payload []byte) (*scitt.Statement, error) {
	o.Issuer, o.IssuedAt = f.Issuer, f.Now()
	data, err := scitt.SignStatement(f.Key, o, payload)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", o.Subject, err)
	}
	return scitt.ParseStatement(data)
}

// Announce makes entry 0 of an empty log, in which the service announces its
// keys, and returns the keys that are in force. The function keys is called for an
// empty log only; it returns the keys to announce.
//
// The keys are entry 0 and the policy is entry 1, so that no statement of
// anybody else is alone in the tree: RFC 9942 does not allow the empty
// inclusion path that its Receipt would have.
//
// A crash leaves an empty log or one with entry 0.
func (f Founder) Announce(ctx context.Context, log Log, keys func() (*scitt.Keys, error)) (*scitt.KeysInForce, error) {
	if log.Published().Checkpoint.Size == 0 {
		k, err := keys()
		if err != nil {
			return nil, err
		}
		payload, err := k.Marshal()
		if err != nil {
			return nil, err
		}
		st, err := f.SignKeys(payload)
		if err != nil {
			return nil, err
		}
		if _, err := appendAndAwait(ctx, log, st); err != nil {
			return nil, fmt.Errorf("bootstrap: keys: %w", err)
		}
	}
	entry, err := log.Published().Entry(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	st, err := scitt.ParseStatement(entry)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: entry 0: %w", err)
	}
	inForce, err := scitt.FirstKeys(st, f.Origin)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: entry 0 does not announce the service's keys: this log was made by something else: %w", err)
	}
	if inForce.Issuer != f.Issuer {
		return nil, fmt.Errorf("bootstrap: entry 0 is by %s, and the service is %s", inForce.Issuer, f.Issuer)
	}
	return inForce, nil
}

// Bootstrap registers the first policy of a log that holds its keys only, or
// finds the policy of one that has them.
//
// A crash leaves a log with entry 0 only; the next call goes on.
// The function policies gives the places of all policies, in order. Without a
// first policy (nil) a log that has none is left so: the result has no Statement.
func (f Founder) Bootstrap(ctx context.Context, log Log, policies func(context.Context) ([]uint64, error), first []byte) (*LoggedPolicy, error) {
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
	var entry []byte
	view, err := log.Await(ctx, last)
	if err == nil {
		entry, err = view.Entry(ctx, last)
	}
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
