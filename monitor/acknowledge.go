package monitor

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/conmotion/conmotion/scitt"
)

// formatAcknowledgement names the format.
const formatAcknowledgement = "conmotion-acknowledgement/1"

// Acknowledgement says that one's own asset is an instance of what a record in
// another log is about. It has that record's Transparent Statement in it, so
// that it can be verified when the other log is gone.
type Acknowledgement struct {
	Asset    string   // uid in your inventory
	Entry    EntryRef // the upstream record
	Home     string   // origin of the log in which it is to be registered
	Upstream []string // uids in the upstream's inventory, sorted
	Note     string
	// Transparent is the upstream's Transparent Statement.
	Transparent []byte
}

type acknowledgementDocument struct {
	Asset       string   `json:"asset"`
	Entry       EntryRef `json:"entry"`
	Format      string   `json:"format"`
	Home        string   `json:"home"`
	Note        string   `json:"note,omitempty"`
	Transparent []byte   `json:"transparent_statement"`
	Upstream    []string `json:"upstream_assets"`
}

// NewAcknowledgement makes an acknowledgement of an upstream record after it
// has verified its Transparent Statement; draft is what it says, without Entry. The
// content is the artifact where the statement is a hash envelope. Upstream are
// those of the record's assets that are meant; all when empty. Of the Receipts
// only the one that proves Entry is kept. Errors wrap those of scitt, ErrEvent,
// ErrOther or ErrMalformed.
func NewAcknowledgement(v *scitt.Verifier, draft Acknowledgement, content []byte) (*Acknowledgement, error) {
	a := &draft
	a.Upstream = slices.Clone(draft.Upstream)
	s, receipts, err := verifyTransparent(v, draft.Transparent)
	if err != nil {
		return nil, err
	}
	a.Entry, a.Transparent = receipts[0].ref, scitt.AttachReceipts(s, receipts[0].encoded)
	event, err := upstreamEvent(s, content)
	if err != nil {
		return nil, err
	}
	if event == nil {
		return nil, malformed("the upstream statement is a hash envelope: its artifact is needed")
	}
	if len(a.Upstream) == 0 {
		a.Upstream = slices.Clone(event.Assets)
	}
	slices.Sort(a.Upstream)
	if err := a.check(); err != nil {
		return nil, err
	}
	return a, a.speaksOf(event)
}

// proven is a Receipt and the entry that it proves.
type proven struct {
	ref     EntryRef
	encoded []byte
}

// verifyTransparent verifies a Transparent Statement and says which entries
// its verified Receipts make it.
func verifyTransparent(v *scitt.Verifier, transparent []byte) (*scitt.Statement, []proven, error) {
	result, err := v.Verify(transparent)
	if err != nil {
		return nil, nil, err
	}
	if err := result.Err(); err != nil {
		if result.SignatureErr != nil && result.KeySource == "" {
			err = fmt.Errorf("%w: %w", scitt.ErrUnchecked, err)
		}
		return nil, nil, err
	}
	var refs []proven
	for i, r := range result.Receipts {
		if r.Err != nil || r.Receipt.Subject == "" {
			continue
		}
		for _, p := range r.Receipt.Proofs {
			refs = append(refs, proven{EntryRef{result.Statement.ID().String(), p.Index, r.Receipt.Subject}, result.Statement.Receipts[i]})
		}
	}
	if len(refs) == 0 {
		return nil, nil, malformed("no verified receipt names its log (CWT claim sub)")
	}
	return result.Statement, refs, nil
}

// upstreamEvent reads the event of an upstream record; nil when it is elsewhere.
func upstreamEvent(s *scitt.Statement, content []byte) (*Event, error) {
	if s.Envelope == nil {
		content = s.Payload
	} else if content == nil {
		return nil, nil
	} else if ok, err := s.PayloadMatches(content); err != nil {
		return nil, err
	} else if !ok {
		return nil, malformed("the artifact is not what the upstream signed")
	}
	return ParseEvent(content)
}

func (a *Acknowledgement) check() error {
	if _, err := a.Entry.check(); err != nil {
		return err
	}
	if err := checkHome(a.Home); err != nil {
		return err
	}
	if a.Asset == "" || len(a.Asset) > maxUID {
		return malformed("the uid of your asset is empty or has more than %d bytes", maxUID)
	}
	if len(a.Upstream) == 0 || !ascending(a.Upstream) {
		return malformed("the upstream's assets are none, or not in order, or one stands twice")
	}
	if !utf8.ValidString(a.Asset + a.Note) {
		return malformed("a text is not UTF-8")
	}
	if len(a.Transparent) == 0 {
		return malformed("there is no Transparent Statement")
	}
	return nil
}

// ascending says that no text is empty and each is larger than the one before.
func ascending(list []string) bool {
	last := ""
	for _, s := range list {
		if s <= last {
			return false
		}
		last = s
	}
	return true
}

func (a *Acknowledgement) speaksOf(e *Event) error {
	for _, uid := range a.Upstream {
		if !slices.Contains(e.Assets, uid) {
			return malformed("the upstream record is not about the asset %.80q", uid)
		}
	}
	return nil
}

// parseAcknowledgement reads a payload. It verifies nothing: see Verify.
// Errors wrap ErrMalformed.
func parseAcknowledgement(payload []byte) (*Acknowledgement, error) {
	var d acknowledgementDocument
	if err := unmarshal(payload, &d); err != nil {
		return nil, err
	}
	if d.Format != formatAcknowledgement {
		return nil, malformed("the format is %.80q, not %s", d.Format, formatAcknowledgement)
	}
	a := &Acknowledgement{d.Asset, d.Entry, d.Home, d.Upstream, d.Note, d.Transparent}
	return a, a.check()
}

// payload is the JSON in JCS form. Errors wrap ErrMalformed.
func (a *Acknowledgement) payload() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	return marshal(acknowledgementDocument{a.Asset, a.Entry, formatAcknowledgement, a.Home, a.Note, a.Transparent, a.Upstream})
}

// Verify verifies the upstream's Transparent Statement with the given keys, that it
// is the entry that the acknowledgement names, and, when its content is inline
// or given, that it is about the upstream's assets.
func (a *Acknowledgement) Verify(v *scitt.Verifier, content []byte) error {
	if err := verifyEmbedded(v, a.Transparent, a.Entry); err != nil {
		return err
	}
	s, err := scitt.DecodeStatement(a.Transparent)
	if err != nil {
		return err
	}
	event, err := upstreamEvent(s, content)
	if err != nil || event == nil {
		return err
	}
	return a.speaksOf(event)
}

// verifyEmbedded verifies a Transparent Statement as that of an entry.
func verifyEmbedded(v *scitt.Verifier, transparent []byte, entry EntryRef) error {
	_, refs, err := verifyTransparent(v, transparent)
	if err != nil {
		return fmt.Errorf("the embedded Transparent Statement: %w", err)
	}
	if !slices.ContainsFunc(refs, func(p proven) bool { return p.ref == entry }) {
		is := refs[0].ref
		return fmt.Errorf("the embedded Transparent Statement: %w: it is entry %d of %q with id %s, and not what is named", scitt.ErrProof,
			is.Index, is.Origin, is.EntryID)
	}
	return nil
}

// Subject is the sub of the acknowledgement's statement.
func (a *Acknowledgement) Subject() string { return "acknowledgement/" + a.Entry.EntryID }

// ToSign is the payload, and what it is signed with but for the time and the issuer.
func (a *Acknowledgement) ToSign() ([]byte, scitt.SignOptions, error) {
	payload, err := a.payload()
	return payload, toSign(scitt.TypeAcknowledgement, a.Subject()), err
}
