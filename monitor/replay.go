package monitor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// ErrResume says that a saved replay cannot go on with this log.
var ErrResume = errors.New("the replay cannot be resumed")

// Replay is the inventory and the configuration that one party's records in a
// log amount to, up to an entry of the log. Records count in the log's order,
// whatever their times say. Its size depends on what is alive and, with what
// [Once] needs of each record, on the number of records. It is not safe for
// concurrent use.
type Replay struct {
	filter     Filter
	until      *int64 // only events up to this time, milliseconds since 1970
	checkpoint scitt.Checkpoint
	next       uint64 // index of the first entry that was not read
	once       *Once

	assets  map[string]*asset
	sorted  sortedAssets
	configs map[string]*configuration
	links   map[string][]string // asset uid -> uids of configurations that are not its own, sorted
	dead    graves
	chains  map[chainKey]chainHead
	heirs   *heirs
	issuers []string
	numbers map[string]int   // issuer -> its place in issuers
	scans   map[int]lastScan // by issuer
	names   map[aliasKey][]claim
	// own are replays of one issuer's records alone, where others' count here too: a scan speaks of what its issuer said.
	// One is made when a scan comes, and is not saved.
	own map[string]*Replay
	// second has it go by version 2 of the algorithm: without other names, and with scans held to what everybody said.
	second bool
	traits traitTable

	anomalies     []Anomaly
	anomaliesMore uint64
	handovers     []Handover
	counts        counts
	lastTime      int64 // the newest event time that was applied

	story *recorder // nil unless comparing
}

// counts are of the entries that were read.
type counts struct {
	Deferred uint64 `json:"deferred"` // records of events after until
	Records  uint64 `json:"records"`  // that counted
	Unread   Unread `json:"unread"`   // that may say anything
}

// asset is alive.
type asset struct {
	created, last Ref
	issuer        int               // of last
	traits        int               // of last: place in the table
	digest        [sha256.Size]byte // of what last says of it
	seen          int64             // start of its issuer's newest scan that saw it, or 0
	ended         bool              // it is not among the assets any more
}

// configuration is alive.
type configuration struct {
	created, last Ref
	issuer        int // of last
	traits        int // of its first asset in last: place in the table
	digest        [sha256.Size]byte
	own           bool     // it has the uid of its one asset
	assets        []string // when it is not own
}

func (c *configuration) assetsOf(uid string) []string {
	if c.own {
		return []string{uid}
	}
	return c.assets
}

// NewReplay begins a replay of the records that the filter selects; with
// until, of events up to that time.
func NewReplay(f Filter, until *time.Time) *Replay {
	r := &Replay{
		filter: f.normal(), assets: map[string]*asset{}, configs: map[string]*configuration{}, links: map[string][]string{},
		chains: map[chainKey]chainHead{}, heirs: &heirs{}, numbers: map[string]int{}, dead: graves{at: map[graveKey]uint64{}},
		once: NewOnce(), scans: map[int]lastScan{}, names: map[aliasKey][]claim{}, own: map[string]*Replay{}, traits: newTraitTable(),
	}
	if until != nil {
		ms := until.UnixMilli()
		r.until = &ms
	}
	return r
}

// Next is the index of the first entry that has not been read.
func (r *Replay) Next() uint64 { return r.next }

// Selection is what the replay was begun with: see [NewReplay].
func (r *Replay) Selection() (Filter, *time.Time) {
	if r.until == nil {
		return r.filter, nil
	}
	until := time.UnixMilli(*r.until).UTC()
	return r.filter, &until
}

// Counts are the records that counted, and those of events after the time
// that the replay was asked for.
func (r *Replay) Counts() (records, deferred uint64) { return r.counts.Records, r.counts.Deferred }

// Unread counts the records that were left out because it is not known what they
// say. Where there are any, what the replay shows is incomplete.
func (r *Replay) Unread() Unread { return r.counts.Unread }

// LastTime is the newest time of an event that counted; nil when none did.
func (r *Replay) LastTime() *time.Time {
	if r.counts.Records == 0 {
		return nil
	}
	last := time.UnixMilli(r.lastTime).UTC()
	return &last
}

// Advance reads the log on, up to and not including index to, or to the
// checkpoint if that is nearer. The log must extend the one that was read
// before: otherwise the error wraps ErrResume, or scitt.ErrProof when the log
// forked. After an error the replay must not be used any more.
func (r *Replay) Advance(ctx context.Context, log Log, to uint64) error {
	cp := log.Checkpoint
	if old := r.checkpoint; old.Origin != "" {
		if old.Origin != cp.Origin {
			return fmt.Errorf("%w: it is of the log %q, not of %q", ErrResume, old.Origin, cp.Origin)
		}
		if err := log.Source.Consistency(ctx, &old); err != nil {
			return fmt.Errorf("%w: %w", ErrResume, err)
		}
	}
	r.checkpoint = scitt.Checkpoint{Origin: cp.Origin, Size: cp.Size, Root: cp.Root}
	to = min(to, cp.Size)
	for rec, err := range records(ctx, log, r.filter, r.heirs, r.once, r.next, to) {
		if err != nil {
			return err
		}
		if err := r.prepare(ctx, log, rec); err != nil {
			return err
		}
		r.apply(rec)
		r.next = rec.Index + 1
	}
	return nil
}

// apply counts one entry.
func (r *Replay) apply(rec *record) {
	if rec.flaw == AnomalyNoStatement {
		r.counts.Unread.add(rec.flaw)
		r.list(noStatement(rec.Index, r.checkpoint.Origin, rec.detail))
		return
	}
	if rec.issuer == "" {
		return
	}
	switch rec.flaw {
	case AnomalySignature:
	case AnomalyUnchecked:
		if !slices.Contains(r.filter.Types, rec.typ) && rec.typ != scitt.TypeScan {
			return // of a chain only, whose other records cannot be checked either
		}
	case AnomalyDuplicate:
		r.anomaly(Anomaly{Kind: rec.flaw, Detail: limit(rec.detail)}, rec.Ref, &Ref{Index: rec.first, ID: rec.ID})
		return
	default:
		r.followChain(rec)
	}
	r.counts.Unread.add(rec.flaw)
	if rec.flaw != "" {
		r.anomaly(Anomaly{Kind: rec.flaw, Detail: limit(rec.detail)}, rec.Ref, nil)
		return
	}
	e := rec.event
	if rec.scan != nil {
		r.applyScan(rec)
		return
	}
	if e == nil {
		return
	}
	if own := r.own[rec.issuer]; own != nil {
		own.apply(rec)
	}
	if r.until != nil && rec.Time > *r.until {
		r.counts.Deferred++
		return
	}
	r.counts.Records++
	r.lastTime = max(r.lastTime, rec.Time)
	if want := e.Subject(); rec.subject != want {
		r.anomaly(Anomaly{Kind: AnomalySubject, Detail: limit(fmt.Sprintf("sub is %q, and the event is about %q", rec.subject, want))}, rec.Ref, nil)
	}
	issuer := r.intern(rec.issuer)
	if !r.second {
		r.ambiguous(issuer, e, rec.Ref)
		e = r.identified(issuer, e)
		r.join(issuer, e)
		defer r.named(issuer, e, rec.Ref)
	}
	if e.Kind == Inventory {
		for _, uid := range e.Assets {
			r.applyAsset(uid, e, rec.Ref, issuer)
		}
		return
	}
	for i := range e.Configurations {
		r.applyConfig(&e.Configurations[i], e, rec.Ref, issuer)
	}
}

// corrects reports whether a correction is older than the last record of its object. Then it says how things were, which
// only counts in the object's story.
func (r *Replay) corrects(what Kind, uid string, e *Event, at Ref, last *Ref, digest *[sha256.Size]byte, traits int) bool {
	if !e.Correction {
		return false
	}
	if g := r.dead.find(graveKey{what, uid}); last == nil && g != nil {
		last = &g.entry
	}
	if last == nil || at.Time >= last.Time {
		return false
	}
	r.anomaly(Anomaly{Kind: AnomalyLate, What: what, UID: uid}, at, last)
	r.story.correct(graveKey{what, uid}, happening{at: at, ends: e.Action == Delete, digest: digest, traits: r.traits.list[traits]})
	return true
}

// limit bounds a detail that repeats outside bytes.
func limit(s string) string {
	const most = 500
	if len(s) <= most {
		return s
	}
	return string([]rune(s[:most])[:most/4]) + " ..."
}

func (r *Replay) intern(issuer string) int {
	n, ok := r.numbers[issuer]
	if !ok {
		n = len(r.issuers)
		r.issuers = append(r.issuers, issuer)
		r.numbers[issuer] = n
	}
	return n
}

// lifecycle holds a record against what is known of its object: last is the
// last record while it is alive. It reports whether the record may count.
func (r *Replay) lifecycle(what Kind, uid string, e *Event, at Ref, last *Ref) (counts bool) {
	action := e.Action
	previous := last
	var grave *grave
	if last == nil {
		if grave = r.dead.find(graveKey{what, uid}); grave != nil {
			previous = &grave.entry
		}
	}
	a := Anomaly{What: what, UID: uid}
	switch {
	case action == Create && last != nil:
		a.Kind = AnomalyDuplicateCreate
	case action == Create || last != nil:
	case action == Modify && e.collected && grave == nil: // somebody saw it for the first time
	case grave != nil && grave.inferred: // that it was not seen is not all that can be known
	case action == Delete && grave != nil && grave.withAsset:
		grave.withAsset = false // its asset's deletion said so already
	case action == Modify && grave != nil:
		a.Kind = AnomalyModifyDeleted
	case action == Modify:
		a.Kind = AnomalyModifyUnknown
	case grave != nil:
		a.Kind = AnomalyDeleteDeleted
	default:
		a.Kind = AnomalyDeleteUnknown
	}
	if a.Kind != "" {
		r.anomaly(a, at, previous)
	}
	if previous != nil && at.Time < previous.Time {
		a.Kind, a.Detail = AnomalyTimeBackwards, fmt.Sprintf("time %d is before %d", at.Time, previous.Time)
		r.anomaly(a, at, previous)
	}
	return action != Delete || last != nil
}

func (r *Replay) applyAsset(uid string, e *Event, at Ref, issuer int) {
	a := r.assets[uid]
	var last *Ref
	if a != nil {
		last = &a.last
	}
	d := e.of(uid)
	traits := r.traits.number(d.traits)
	if r.corrects(Inventory, uid, e, at, last, nil, traits) || !r.lifecycle(Inventory, uid, e, at, last) {
		return
	}
	if e.Action == Delete {
		r.endAsset(uid, at, false)
		return
	}
	if a == nil {
		a = &asset{created: at}
		r.addAsset(r.story.uid(uid), a)
	}
	a.last, a.issuer, a.digest, a.traits = at, issuer, d.digest, traits
	r.story.alive(Inventory, uid, at, nil, r.traits.list[traits])
}

func (r *Replay) addAsset(uid string, a *asset) {
	r.assets[uid] = a
	r.sorted.add(namedAsset{uid, a})
}

func (r *Replay) removeAsset(uid string) {
	r.assets[uid].ended = true
	delete(r.assets, uid)
}

// endAsset ends an asset: its deletion, or a scan that did not see it.
func (r *Replay) endAsset(uid string, at Ref, inferred bool) {
	r.removeAsset(uid)
	r.dead.bury(grave{graveKey{Inventory, uid}, at, false, inferred})
	r.story.ended(Inventory, uid, at, inferred)
	r.detach(uid, at, inferred)
}

// detach ends a deleted asset's own configuration and takes the asset out of
// those that it shared.
func (r *Replay) detach(uid string, at Ref, inferred bool) {
	if c := r.configs[uid]; c != nil && c.own {
		delete(r.configs, uid)
		r.dead.bury(grave{graveKey{Configuration, uid}, at, true, inferred})
		r.story.ended(Configuration, uid, at, inferred)
	}
	for _, name := range r.links[uid] {
		c := r.configs[name]
		c.assets = slices.DeleteFunc(c.assets, func(a string) bool { return a == uid })
	}
	delete(r.links, uid)
}

func (r *Replay) applyConfig(now *Config, e *Event, at Ref, issuer int) {
	c := r.configs[now.UID]
	var last *Ref
	if c != nil {
		last = &c.last
	}
	digest := sha256.Sum256(now.Content)
	traits := 0
	if len(now.Assets) > 0 {
		traits = r.traits.number(e.of(now.Assets[0]).traits)
	}
	if r.corrects(Configuration, now.UID, e, at, last, &digest, traits) || !r.lifecycle(Configuration, now.UID, e, at, last) {
		return
	}
	if c != nil && !c.own {
		for _, a := range c.assets {
			r.unlink(a, now.UID)
		}
	}
	if e.Action == Delete {
		delete(r.configs, now.UID)
		r.dead.bury(grave{graveKey{Configuration, now.UID}, at, false, false})
		r.story.ended(Configuration, now.UID, at, false)
		return
	}
	if c == nil {
		c = &configuration{created: at}
		r.configs[r.story.uid(now.UID)] = c
	}
	c.last, c.issuer, c.digest, c.traits = at, issuer, digest, traits
	c.own = len(now.Assets) == 1 && now.Assets[0] == now.UID
	c.assets = nil
	if !c.own {
		c.assets = now.Assets
		for _, a := range c.assets {
			r.link(a, now.UID)
		}
	}
	r.story.alive(Configuration, now.UID, at, &c.digest, r.traits.list[traits])
}
