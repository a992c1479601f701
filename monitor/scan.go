package monitor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/scitt"
)

// formatScan names the format of a scan.
const formatScan = "conmotion-scan/1"

// Scan says what an issuer saw when it looked at everything in a scope: what is gone. It speaks for its issuer only.
type Scan struct {
	Of             string // the type of the statements that say what was seen: scitt.TypeRecord or scitt.TypeObservation
	Scope          Scope
	Started, Ended time.Time      // of looking, in whole milliseconds
	Previous       *scitt.EntryID // the issuer's scan before this one; nil for the first, which is the baseline
	Gone           []string       // the identities that are gone, in order
	// Count and Digest are of the issuer's assets in the scope that are left, with the digests of their contents.
	Count  int
	Digest string
	// Incomplete are reasons why it says nothing of what it did not see. Nothing is gone then.
	Incomplete []string
}

type scanDocument struct {
	Count      int      `json:"count"`
	Digest     string   `json:"digest"`
	Ended      string   `json:"ended"`
	Format     string   `json:"format"`
	Gone       []string `json:"gone"`
	Incomplete []string `json:"incomplete"`
	Previous   string   `json:"previous,omitempty"`
	Scope      []string `json:"scope"`
	Started    string   `json:"started"`
}

// scanSubject is the sub of scans of what statements of a type say.
func scanSubject(typ string) string {
	word, _ := strings.CutPrefix(typ, "application/vnd.conmotion.")
	return "scan/" + strings.TrimSuffix(word, "+cose")
}

// scans reports whether a statement is a scan of what statements of these types say.
func scans(s *scitt.Statement, types []string) bool {
	return s.Type == scitt.TypeScan && slices.ContainsFunc(types, func(typ string) bool { return s.Subject == scanSubject(typ) })
}

// ToSign is the payload, and what it is signed with but for the time and the issuer. Errors wrap ErrMalformed.
func (s *Scan) ToSign() ([]byte, scitt.SignOptions, error) {
	d := scanDocument{s.Count, s.Digest, timestamp(s.Ended.UnixMilli()), formatScan, list(s.Gone), list(s.Incomplete), "", list([]string(s.Scope)), timestamp(s.Started.UnixMilli())}
	if s.Previous != nil {
		d.Previous = s.Previous.String()
	}
	payload, err := marshal(d)
	return payload, toSign(scitt.TypeScan, scanSubject(s.Of)), cmp.Or(s.check(), err)
}

// parseScan reads a payload. Errors wrap ErrMalformed.
func parseScan(payload []byte) (*Scan, error) {
	var d scanDocument
	if err := unmarshal(payload, &d); err != nil {
		return nil, err
	}
	if d.Format != formatScan {
		return nil, malformed("the format is %.80q, not %s", d.Format, formatScan)
	}
	s := &Scan{Scope: d.Scope, Gone: d.Gone, Count: d.Count, Digest: d.Digest, Incomplete: d.Incomplete}
	var errs [3]error
	s.Started, errs[0] = time.Parse(timeLayout, d.Started)
	s.Ended, errs[1] = time.Parse(timeLayout, d.Ended)
	if d.Previous != "" {
		s.Previous = new(scitt.EntryID)
		*s.Previous, errs[2] = scitt.ParseEntryID(d.Previous)
	}
	if err := cmp.Or(errs[:]...); err != nil {
		return nil, malformed("%w", err)
	}
	return s, s.check()
}

func (s *Scan) check() error {
	digest, err := hex.DecodeString(s.Digest)
	switch {
	case err != nil || len(digest) != sha256.Size || strings.ToLower(s.Digest) != s.Digest || s.Count < 0:
		return malformed("the digest is not 64 lowercase hexadecimal characters, or the count is negative")
	case s.Ended.Before(s.Started) || s.Started.UnixMilli() < 0 || s.Ended.Unix() > maxSeconds:
		return malformed("the scan ended before it started")
	case len(s.Gone) > 0 && (!ascending(s.Gone) || len(s.Incomplete) > 0):
		return malformed("what is gone is not in order, or the scan is not complete and says that something is gone")
	case slices.Contains(s.Incomplete, ""):
		return malformed("a reason is empty")
	}
	return s.Scope.check()
}

// lastScan is an issuer's newest scan.
type lastScan struct {
	id   scitt.EntryID
	what string // scope, times and whether it was complete
}

// what tells a scan from others of its issuer.
func (s *Scan) what() string {
	return fmt.Sprintf("%q %d %d %t", []string(s.Scope), s.Started.UnixMilli(), s.Ended.UnixMilli(), len(s.Incomplete) == 0)
}

// prepare makes, before a scan, the replay of its issuer's records alone where others' count here too.
func (r *Replay) prepare(ctx context.Context, log Log, rec *record) error {
	others := func(issuer string) bool { return issuer != rec.issuer }
	if rec.scan == nil || r.second || r.own[rec.issuer] != nil || !slices.ContainsFunc(r.issuers, others) {
		return nil
	}
	own := NewReplay(Filter{[]string{rec.issuer}, r.filter.Types}, nil)
	own.until = r.until
	r.own[rec.issuer] = own
	return own.Advance(ctx, log, rec.Index)
}

// scanned is what a scan says of the assets that its issuer spoke of last, or why nothing is inferred.
type scanned struct {
	gone, left []namedAsset
	first      bool // it is the issuer's first
	wrong      string
}

// applyScan infers what is gone, of the assets whose newest record is by the scan's issuer.
func (r *Replay) applyScan(rec *record) (out scanned) {
	s, issuer := rec.scan, r.intern(rec.issuer)
	before, again := r.scans[issuer]
	r.scans[issuer] = lastScan{rec.ID, s.what()}
	if own := r.own[rec.issuer]; own != nil {
		out = own.applyScan(rec)
	} else {
		out = r.compareScan(s, issuer, before, again)
	}
	if r.until != nil && rec.Time > *r.until {
		r.counts.Deferred++
		return out
	}
	if out.wrong != "" {
		r.anomaly(Anomaly{Kind: AnomalyScan, Detail: out.wrong + "; nothing is inferred"}, rec.Ref, nil)
		return out
	}
	at := rec.Ref
	at.Time = s.Started.UnixMilli()
	for _, gone := range out.gone {
		if a := r.assets[gone.uid]; a != nil && a.issuer == issuer {
			r.endAsset(gone.uid, at, true)
		}
	}
	for _, left := range out.left {
		if a := r.assets[left.uid]; a != nil && a.issuer == issuer {
			a.seen = max(a.seen, at.Time)
			if out.first {
				r.story.baseline(left.uid)
			}
		}
	}
	return out
}

// compareScan holds a scan to what the issuer's records amount to: that set must be what the scan says is left; else nothing is
// inferred. Where records of events after the replay's end were left out that cannot be held against it, and what the
// issuer signed counts.
func (r *Replay) compareScan(s *Scan, issuer int, before lastScan, again bool) (out scanned) {
	if r.until != nil && s.Ended.UnixMilli() > *r.until || len(s.Incomplete) > 0 {
		return out
	}
	out.first = !again
	assets := r.inScope(issuer, s.Scope)
	out.left = assets[:0]
	for _, a := range assets {
		if _, gone := slices.BinarySearch(s.Gone, a.uid); gone && a.known() < s.Started.UnixMilli() {
			out.gone = append(out.gone, a)
		} else {
			out.left = append(out.left, a)
		}
	}
	count, digest := r.set(out.left)
	switch {
	case again != (s.Previous != nil) || again && before.id != *s.Previous:
		out.wrong = "it does not follow the issuer's scan before it"
	case r.counts.Deferred == 0 && (count != s.Count || digest != s.Digest || len(out.gone) != len(s.Gone)):
		out.wrong = fmt.Sprintf("it leaves %s, and the records %d, or with other contents", plural.Of(s.Count, "asset"), count)
	}
	return out
}

// Seen is what came of a scan that looked at everything in a scope.
type Seen struct {
	Of             string // type of the statements
	Scope          Scope
	Started, Ended time.Time
	Assets         map[string]bool // identities
	Incomplete     []string        // reasons
	// Empty allows that nothing is left of an account's region: that looks as if access to it had been denied.
	Empty bool
}

// NewScan makes the statement of a scan by an issuer, after what it saw was recorded and read. share is how much of what
// was there before is gone, in percent. It is nil when the issuer's newest scan says the same.
func (r *Replay) NewScan(issuer string, seen Seen) (s *Scan, share int) {
	n, saw := r.intern(issuer), map[string]bool{}
	for uid, there := range seen.Assets {
		asset, _ := r.identify(n, uid)
		saw[asset] = there || saw[asset]
	}
	s = &Scan{Of: seen.Of, Scope: seen.Scope, Started: seen.Started, Ended: seen.Ended, Incomplete: slices.Clone(seen.Incomplete)}
	started := seen.Started.UnixMilli()
	assets := r.inScope(n, seen.Scope)
	type place struct{ account, region string }
	were, are := map[place]int{}, map[place]int{}
	for _, a := range assets {
		t := r.traits.list[a.traits]
		at := place{t.Account, t.Region}
		if a.known() < started {
			were[at]++
			if !saw[a.uid] {
				s.Gone = append(s.Gone, a.uid)
				continue
			}
		}
		are[at]++
	}
	for _, at := range slices.SortedFunc(maps.Keys(were), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.region, b.region))
	}) {
		if are[at] == 0 && !seen.Empty {
			s.Incomplete = append(s.Incomplete, fmt.Sprintf("nothing was seen in region %q of account %q, where %s", at.region, at.account, plural.Verb(were[at], "asset", "was", "were")))
		}
	}
	if len(assets) > 0 {
		share = 100 * len(s.Gone) / len(assets)
	}
	if len(s.Incomplete) > 0 {
		s.Gone = nil
	}
	s.Count, s.Digest = r.set(slices.DeleteFunc(assets, func(a namedAsset) bool {
		_, gone := slices.BinarySearch(s.Gone, a.uid)
		return gone
	}))
	if before, ok := r.scans[n]; ok {
		if before.what == s.what() {
			return nil, share
		}
		s.Previous = &before.id
	}
	return s, share
}

// Held is what the log says already of what an event is about.
type Held struct {
	Newer *Ref // a record, or a scan, of a later time than the event's
	Same  bool // the event says nothing that is not known
}

// Hold holds an event that an issuer would say against what was read.
func (r *Replay) Hold(issuer string, e *Event) Held {
	if n, ok := r.numbers[issuer]; ok {
		e = r.identified(n, e)
	}
	h := Held{Same: true}
	hold := func(what Kind, uid string, last *Ref, same bool) {
		if g := r.dead.find(graveKey{what, uid}); last == nil && g != nil {
			last, same = &g.entry, e.Action == Delete
		}
		if last != nil && last.Time > e.Time && (h.Newer == nil || last.Time > h.Newer.Time) {
			h.Newer = pointer(*last)
		}
		h.Same = h.Same && same
	}
	for _, uid := range e.Assets {
		if a := r.assets[uid]; e.Kind != Inventory {
			break
		} else if a != nil {
			hold(Inventory, uid, &a.last, e.Action != Delete && a.digest == e.of(uid).digest)
		} else {
			hold(Inventory, uid, nil, false)
		}
	}
	for _, now := range e.Configurations {
		if c := r.configs[now.UID]; c != nil {
			hold(Configuration, now.UID, &c.last, e.Action != Delete && c.digest == sha256.Sum256(now.Content) && slices.Equal(c.assetsOf(now.UID), now.Assets))
		} else {
			hold(Configuration, now.UID, nil, false)
		}
	}
	return h
}

// Register notes a statement that has just been registered as the entry at index, with what it says if it is a record. ok
// is false when the replay has not read the entries before it: then they have to be read first.
func (r *Replay) Register(s *scitt.Statement, e *Event, index uint64) (ok bool) {
	if index != r.next || r.checkpoint.Origin == "" {
		return false
	}
	rec := newRecord(s)
	rec.Index, rec.chain, rec.event = index, s.Chain, e
	if e != nil {
		rec.Time = e.Time
	}
	r.once.table.Take(rec.ID, index)
	r.apply(rec)
	r.next = index + 1
	return true
}
