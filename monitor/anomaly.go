package monitor

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/scitt"
)

// AnomalyKind is what is wrong about a record.
type AnomalyKind string

// The anomalies. But for the first eight, the record counts all the same: the
// last word of the issuer is what a replay shows.
const (
	AnomalyNoStatement AnomalyKind = "no_statement" // the bytes are nobody's statement, so they have no entry id

	AnomalySignature     AnomalyKind = "signature"       // the issuer did not sign it
	AnomalyUnchecked     AnomalyKind = "unchecked"       // the issuer's key is not known here, so nobody can say whether it did
	AnomalyDuplicate     AnomalyKind = "duplicate"       // what it says is in the log already, with a signature that verifies
	AnomalyInvalid       AnomalyKind = "invalid"         // the event is not valid or cannot be mapped
	AnomalyContent       AnomalyKind = "content_missing" // the artifact is withheld or lost
	AnomalyPrivate       AnomalyKind = "content_private" // the artifact is there for others, or cannot be read now
	AnomalyChainHandover AnomalyKind = "chain_handover"  // of a chain that its issuer gave away, or that nobody gave to it

	AnomalyDuplicateCreate AnomalyKind = "duplicate_create" // create of what is alive
	AnomalyModifyDeleted   AnomalyKind = "modify_deleted"   // modify after delete: alive again
	AnomalyModifyUnknown   AnomalyKind = "modify_unknown"   // modify without create: alive
	AnomalyDeleteDeleted   AnomalyKind = "delete_deleted"
	AnomalyDeleteUnknown   AnomalyKind = "delete_unknown"
	AnomalyTimeBackwards   AnomalyKind = "time_backwards"  // older than the asset's last record, or a chain's iat
	AnomalySubject         AnomalyKind = "subject"         // sub is not what the event is about
	AnomalyChainGap        AnomalyKind = "chain_gap"       // seq jumps
	AnomalyChainFork       AnomalyKind = "chain_fork"      // a second record with a seq that was there
	AnomalyChainPrev       AnomalyKind = "chain_prev"      // the right seq, and prev is another entry
	AnomalyLate            AnomalyKind = "late"            // a correction: it counts at its own time
	AnomalyAlias           AnomalyKind = "alias_ambiguous" // an asset is named by another name of several assets
	AnomalyScan            AnomalyKind = "scan_mismatch"   // a scan that is not of what the records amount to: nothing is inferred
	AnomalyChainAbandoned  AnomalyKind = "chain_missing"   // no link although the chain has begun
)

// meanings say what an anomaly is that has no detail.
var meanings = map[AnomalyKind]string{
	AnomalyDuplicateCreate: "created although it exists; taken for a change",
	AnomalyModifyDeleted:   "changed after its deletion; it exists again from here on",
	AnomalyModifyUnknown:   "changed, and no record before creates it; it exists from here on",
	AnomalyDeleteDeleted:   "deleted again; without effect",
	AnomalyDeleteUnknown:   "deleted, and no record before creates it; without effect",
	AnomalyLate:            "came late, as a correction; it counts at its own time",
	AnomalyChainAbandoned:  "not linked to its chain, which has begun",
}

// Meaning says for people what is wrong: the detail, or what the kind means.
func (a Anomaly) Meaning() string { return cmp.Or(a.Detail, meanings[a.Kind]) }

// Unread reports whether it is not known what the statement says. It may say
// anything, so it neither satisfies nor refutes, and accuses nobody.
func (a Anomaly) Unread() bool { return CountUnread([]Anomaly{a}).Any() }

// Unread counts the records of which it is not known what they say.
type Unread struct {
	ContentMissing uint64 `json:"content_missing"`           // the artifact is withheld or lost
	ContentPrivate uint64 `json:"content_private,omitempty"` // the artifact is for those who have a token, or cannot be read now
	// NoStatement are entries that are nobody's statement. A service registers none,
	// and whoever put them into the log may have hidden a statement that way.
	NoStatement uint64 `json:"no_statement"`
	Unchecked   uint64 `json:"unchecked"` // the issuer's key is not known
}

// CountUnread counts those among anomalies.
func CountUnread(list []Anomaly) (u Unread) {
	for _, a := range list {
		u.add(a.Kind)
	}
	return u
}

func (u *Unread) add(kind AnomalyKind) {
	switch kind {
	case AnomalyContent:
		u.ContentMissing++
	case AnomalyPrivate:
		u.ContentPrivate++
	case AnomalyNoStatement:
		u.NoStatement++
	case AnomalyUnchecked:
		u.Unchecked++
	}
}

// Plus is the sum of two counts.
func (u Unread) Plus(v Unread) Unread {
	return Unread{u.ContentMissing + v.ContentMissing, u.ContentPrivate + v.ContentPrivate, u.NoStatement + v.NoStatement, u.Unchecked + v.Unchecked}
}

// Most has of each count the larger one.
func (u Unread) Most(v Unread) Unread {
	return Unread{max(u.ContentMissing, v.ContentMissing), max(u.ContentPrivate, v.ContentPrivate), max(u.NoStatement, v.NoStatement), max(u.Unchecked, v.Unchecked)}
}

// count is how many there are.
func (u Unread) count() uint64 {
	return u.ContentMissing + u.ContentPrivate + u.NoStatement + u.Unchecked
}

// Any reports whether there are any.
func (u Unread) Any() bool { return u != Unread{} }

// String says what is not known, and what would help; "" when there is nothing.
func (u Unread) String() string {
	var parts []string
	if u.Unchecked > 0 {
		parts = append(parts, plural.Of(u.Unchecked, "record")+" could not be checked: the issuer's key is not known (--issuer-key)")
	}
	if u.ContentMissing > 0 {
		parts = append(parts, plural.Of(u.ContentMissing, "record")+" could not be read: the content is withheld by its provider, or elsewhere (--artifacts)")
	}
	if u.ContentPrivate > 0 {
		parts = append(parts, plural.Of(u.ContentPrivate, "record")+" could not be read: the content is private, and a token is needed (--token-file), or cannot be read now")
	}
	if u.NoStatement > 0 {
		parts = append(parts, plural.Verb(u.NoStatement, "entry", "is", "are")+" nobody's statement, so what is meant to be there is unknown (conmotion audit names them)")
	}
	return strings.Join(parts, "; ")
}

// Anomaly is a record that does not fit what came before it.
type Anomaly struct {
	Chain    string      `json:"chain,omitempty"`
	Detail   string      `json:"detail,omitempty"`
	Entry    EntryRef    `json:"entry"`
	Issuer   string      `json:"issuer,omitempty"` // of a statement that is not a record
	Kind     AnomalyKind `json:"kind"`
	Previous *EntryRef   `json:"previous,omitempty"` // the record that it does not fit
	Subject  string      `json:"subject,omitempty"`  // of a statement that is not a record
	UID      string      `json:"uid,omitempty"`
	What     Kind        `json:"what,omitempty"` // of the uid
}

// EntryRef names an entry of a log.
type EntryRef struct {
	EntryID string `json:"entry_id,omitempty"` // lowercase hex; "" of AnomalyNoStatement
	Index   uint64 `json:"index"`
	Origin  string `json:"origin"` // of the log
}

func (r Ref) entry(origin string) EntryRef { return EntryRef{r.ID.String(), r.Index, origin} }

// noStatement is an entry that is nobody's statement.
func noStatement(index uint64, origin, detail string) Anomaly {
	return Anomaly{Kind: AnomalyNoStatement, Entry: EntryRef{Index: index, Origin: origin}, Detail: limit(detail)}
}

func (r EntryRef) check() (scitt.EntryID, error) {
	if r.Origin == "" {
		return scitt.EntryID{}, malformed("the entry's origin is empty")
	}
	if r.Index > jsonx.MaxInteger {
		return scitt.EntryID{}, malformed("the entry's index is beyond 2^53-1")
	}
	id, err := scitt.ParseEntryID(r.EntryID)
	if err != nil {
		return id, malformed("%w", err)
	}
	return id, nil
}

// maxAnomalies is how many anomalies a replay lists; more are counted.
const maxAnomalies = 10_000

func (r *Replay) anomaly(a Anomaly, at Ref, previous *Ref) {
	a.Entry = at.entry(r.checkpoint.Origin)
	if previous != nil {
		p := previous.entry(r.checkpoint.Origin)
		a.Previous = &p
	}
	r.list(a)
}

func (r *Replay) list(a Anomaly) {
	if len(r.anomalies) >= maxAnomalies {
		r.anomaliesMore++
		return
	}
	r.anomalies = append(r.anomalies, a)
}

// chainKey is one issuer's chain.
type chainKey struct{ issuer, name string }

// chainHead is the record of a chain with the highest seq.
type chainHead struct {
	Ref
	seq   uint64
	given string // with which the issuer's chain ends; "" while it goes on
}

// followChain holds a record to the head of its chain. After a gap or a wrong
// prev the chain goes on from the record; a fork leaves the head where it is.
func (r *Replay) followChain(rec *record) {
	if r.ended(rec) {
		return
	}
	if rec.chain == nil {
		if rec.event == nil {
			return
		}
		name := string(rec.event.Kind)
		if head, ok := r.chains[chainKey{rec.issuer, name}]; ok {
			r.anomaly(Anomaly{Kind: AnomalyChainAbandoned, Chain: name}, rec.Ref, &head.Ref)
		}
		return
	}
	link := rec.chain
	key := chainKey{rec.issuer, link.Name}
	head, begun := r.chains[key]
	if rec.takes != nil && !begun {
		r.takeOver(rec)
		return
	}
	var previous *Ref
	next := uint64(0)
	if begun {
		previous, next = &head.Ref, head.seq+1
	}
	a := Anomaly{Chain: link.Name}
	switch {
	case link.Seq < next:
		a.Kind, a.Detail = AnomalyChainFork, fmt.Sprintf("seq %d again; the chain is at %d", link.Seq, head.seq)
	case link.Seq > next:
		a.Kind, a.Detail = AnomalyChainGap, fmt.Sprintf("seq %d in place of %d", link.Seq, next)
	case begun && string(link.Prev) != string(head.ID[:]) || !begun && link.Prev != nil:
		a.Kind, a.Detail = AnomalyChainPrev, fmt.Sprintf("prev of seq %d is %x", link.Seq, link.Prev)
	}
	if a.Kind != "" {
		r.anomaly(a, rec.Ref, previous)
	}
	if begun && rec.Issued != 0 && rec.Issued < head.Issued {
		r.anomaly(Anomaly{Kind: AnomalyTimeBackwards, Chain: link.Name,
			Detail: fmt.Sprintf("iat %d is before %d", rec.Issued, head.Issued)}, rec.Ref, previous)
	}
	if link.Seq >= next {
		r.chains[key] = chainHead{rec.Ref, link.Seq, rec.given}
		r.intern(rec.issuer)
	}
}
