package monitor

import (
	"fmt"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// AnomalyKind is what is wrong about a record.
type AnomalyKind string

// The anomalies. But for the first five, the record counts all the same: the
// last word of the issuer is what a replay shows.
const (
	AnomalyNoStatement AnomalyKind = "no_statement" // the bytes are no statement of anybody, so they have no entry id

	AnomalySignature AnomalyKind = "signature"       // the issuer did not sign it
	AnomalyDuplicate AnomalyKind = "duplicate"       // what it says is in the log already, with a signature that verifies
	AnomalyInvalid   AnomalyKind = "invalid"         // the event is not valid or cannot be mapped
	AnomalyContent   AnomalyKind = "content_missing" // the artifact is not to be had

	AnomalyDuplicateCreate AnomalyKind = "duplicate_create" // create of what is alive
	AnomalyModifyDeleted   AnomalyKind = "modify_deleted"   // modify after delete: alive again
	AnomalyModifyUnknown   AnomalyKind = "modify_unknown"   // modify without create: alive
	AnomalyDeleteDeleted   AnomalyKind = "delete_deleted"
	AnomalyDeleteUnknown   AnomalyKind = "delete_unknown"
	AnomalyTimeBackwards   AnomalyKind = "time_backwards" // older than the asset's last record, or a chain's iat
	AnomalySubject         AnomalyKind = "subject"        // sub is not what the event is about
	AnomalyChainGap        AnomalyKind = "chain_gap"      // seq jumps
	AnomalyChainFork       AnomalyKind = "chain_fork"     // a second record with a seq that was there
	AnomalyChainPrev       AnomalyKind = "chain_prev"     // the right seq, and prev is another entry
	AnomalyChainAbandoned  AnomalyKind = "chain_missing"  // no link although the chain has begun
)

// Anomaly is a record that does not fit what came before it.
type Anomaly struct {
	Chain    string      `json:"chain,omitempty"`
	Detail   string      `json:"detail,omitempty"`
	Entry    EntryRef    `json:"entry"`
	Kind     AnomalyKind `json:"kind"`
	Previous *EntryRef   `json:"previous,omitempty"` // the record that it does not fit
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

// NoStatements counts the entries among anomalies that are nobody's statement.
// What they would say is unknown: a service registers none, and whoever put them
// into the log may have hidden a statement that way.
func NoStatements(list []Anomaly) (n uint64) {
	for _, a := range list {
		if a.Kind == AnomalyNoStatement {
			n++
		}
	}
	return n
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
	seq uint64
}

// followChain holds a record to the head of its chain. After a gap or a wrong
// prev the chain goes on from the record; a fork leaves the head where it is.
func (r *Replay) followChain(rec *record) {
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
		r.chains[key] = chainHead{rec.Ref, link.Seq}
		r.intern(rec.issuer)
	}
}
