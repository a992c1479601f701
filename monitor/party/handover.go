package party

import (
	"context"
	"errors"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// errGiven says that somebody used a key after it gave its chain away.
var errGiven = errors.New("the log has more of the old issuer after the handover")

// HandOver lets a chain in the log go on under an heir's issuer and key: the last
// statement of r's issuer, and the heir's first one after it. A crash between them leaves
// a chain that was given and not taken; the next call takes it.
func (r *Registrar) HandOver(ctx context.Context, heir *Registrar, chain string) (given, taken monitor.EntryRef, err error) {
	h := &scitt.Handover{Chain: chain, From: r.Issuer, To: heir.Issuer}
	if h.Key, err = scitt.Thumbprint(heir.key.Public()); err != nil {
		return given, taken, err
	}
	d := Draft{Chain: chain, Options: scitt.SignOptions{Type: scitt.TypeHandover, ContentType: scitt.MediaTypeHandover, Subject: chain + "/handover"}}
	if d.Content, err = h.Marshal(); err != nil {
		return given, taken, err
	}
	register := func(by *Registrar) (monitor.EntryRef, error) {
		outcomes, err := by.Register(ctx, []Draft{d})
		if err != nil {
			return monitor.EntryRef{}, err
		}
		return outcomes[0].At[0].Ref, outcomes[0].Err()
	}
	if given, err = register(r); err != nil {
		return given, taken, err
	}
	ends, err := r.Chains(ctx)
	if err != nil {
		return given, taken, err
	}
	end := ends[chain]
	if end.ID.String() != given.EntryID {
		return given, taken, errGiven
	}
	d.after = &end
	taken, err = register(heir)
	return given, taken, err
}
