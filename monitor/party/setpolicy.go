package party

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// PolicyInForce is a log's Registration Policy, as its service tells it.
type PolicyInForce struct {
	EntryID  scitt.EntryID // zero when the log has no policy yet
	Index    uint64
	Document []byte
	subject  string // of the log's policies
}

// PolicyInForce asks the first service which policy is in force.
func (r *Registrar) PolicyInForce(ctx context.Context) (*PolicyInForce, error) {
	service := r.services[0].client
	c, err := service.Configuration(ctx)
	if err != nil {
		return nil, err
	}
	p := &PolicyInForce{Index: c.Policy.Index, Document: c.Policy.Document, subject: scitt.PolicySubject(c.Origin)}
	if p.EntryID, err = scitt.ParseEntryID(c.Policy.EntryID); err != nil {
		return nil, fmt.Errorf("the transparency configuration: %w", err)
	}
	if p.EntryID == (scitt.EntryID{}) {
		return p, nil
	}
	data, err := service.TransparentStatement(ctx, p.EntryID.String())
	if err != nil {
		return nil, fmt.Errorf("the policy in force: %w", err)
	}
	st, err := scitt.DecodeStatement(data)
	if err != nil || st.ID() != p.EntryID || st.Type != scitt.TypePolicy {
		return nil, fmt.Errorf("the service does not give the policy that it says is in force, %s", p.EntryID)
	}
	p.subject = st.Subject
	return p, nil
}

// Sign signs the document of a policy that replaces this one, as an administrator. Its
// "previous" names this one: where the service says a wrong one, that fits no honest log.
func (p *PolicyInForce) Sign(key crypto.Signer, issuer string, document []byte, at time.Time) (Draft, error) {
	data, err := scitt.SignStatement(key, scitt.SignOptions{
		Issuer: issuer, Subject: p.subject, IssuedAt: at, ContentType: "application/vnd.conmotion.policy+json", Type: scitt.TypePolicy,
	}, document)
	return Draft{signed: data}, err
}
