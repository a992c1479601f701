package monitor

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"math"
	"slices"
)

// open is the end of what has not ended.
const open = math.MaxInt64

// span is a time in which something was alive.
type span struct {
	start, end int64 // milliseconds since 1970; end is not part of it
	first      Ref   // the record that began it
	inferred   bool  // its end is from a scan
	baseline   bool  // it began before its issuer's first scan, nobody knows when
}

// version is what a configuration was from a time on. There is one for each
// record: it has the record's index only, and what drifts is read again.
type version struct {
	start  int64
	digest [sha256.Size]byte
	by     uint64
}

// story is what a log says of one asset or configuration over an interval: its
// lives, in order and apart from each other, and a configuration's versions.
//
// Records count in the log's order. One whose event is older than the one
// before it takes effect when that did, so that times never go backwards.
type story struct {
	spans    []span
	versions []version
	now      int64   // when the last record took effect
	traits   *Traits // of the table of its replay
}

// newStory is the beginning of a story, with room for its first span: most have no other.
func newStory(now int64) *story {
	var s struct {
		story
		first [1]span
	}
	s.spans, s.now = s.first[:0], now
	return &s.story
}

// recorder keeps the stories of a replay from a time on.
type recorder struct {
	from    int64
	stories map[Kind]map[string]*story
	// corrected are the objects about which a correction came: what happened to them has to be put in order first (see
	// reorder). The happenings are in the log's order, and nil while they are not collected.
	corrected map[graveKey][]happening
	collect   bool
	renamed   map[graveKey]graveKey // objects by other names, to those that they are
	uids      map[string]string     // each uid once, of both kinds and of both sides
}

// happening is a record about one object, or what a scan says of it.
type happening struct {
	at       Ref
	ends     bool
	inferred bool
	digest   *[sha256.Size]byte
	traits   *Traits
}

func newRecorder(from int64, uids map[string]string) *recorder {
	return &recorder{from, map[Kind]map[string]*story{Inventory: {}, Configuration: {}}, map[graveKey][]happening{}, false, map[graveKey]graveKey{}, uids}
}

// uid is a uid as it is held already, so that memory has its text once.
func (c *recorder) uid(uid string) string {
	if c == nil {
		return uid
	}
	held, ok := c.uids[uid]
	if !ok {
		held, c.uids[uid] = uid, uid
	}
	return held
}

// keeps reports whether what happens to an object is collected, to be put in order.
func (c *recorder) keeps(key graveKey, h happening) bool {
	list, ok := c.corrected[key]
	if ok && c.collect {
		if h.digest != nil { // that of a configuration which may change
			h.digest = pointer(*h.digest)
		}
		c.corrected[key] = append(list, h)
	}
	return ok && c.collect
}

// correct notes a record that came late.
func (c *recorder) correct(key graveKey, h happening) {
	if c != nil && !c.keeps(key, h) {
		c.corrected[key] = nil
	}
}

// collector is what collects in a second reading, also what happens by other names.
func (c *recorder) collector() *recorder {
	out := newRecorder(c.from, c.uids)
	out.corrected, out.collect = maps.Clone(c.corrected), true
	for from, to := range c.renamed {
		if _, ok := c.corrected[to]; ok {
			out.corrected[from] = nil
		}
	}
	return out
}

// reorder tells the stories of corrected objects anew, in the order of their times: other is what collected them.
func (c *recorder) reorder(other *recorder) {
	for key, list := range other.corrected {
		delete(c.stories[key.what], key.uid)
		slices.SortStableFunc(list, func(a, b happening) int { return cmp.Compare(a.at.Time, b.at.Time) })
		for _, h := range list {
			if !h.ends {
				c.alive(key.what, key.uid, h.at, h.digest, h.traits)
			} else if s := c.stories[key.what][key.uid]; s != nil && s.spans[len(s.spans)-1].end == open {
				c.ended(key.what, key.uid, h.at, h.inferred)
			}
		}
	}
}

// baseline notes that nobody knows when the present life of an asset, and of its own configuration, began.
func (c *recorder) baseline(uid string) {
	if c == nil {
		return
	}
	for _, what := range []Kind{Inventory, Configuration} {
		if s := c.stories[what][uid]; s != nil {
			s.spans[len(s.spans)-1].baseline = true
		}
	}
}

// alive notes that a record made or kept something alive.
func (c *recorder) alive(what Kind, uid string, at Ref, digest *[sha256.Size]byte, traits *Traits) {
	if c == nil || c.keeps(graveKey{what, uid}, happening{at: at, digest: digest, traits: traits}) {
		return
	}
	s := c.stories[what][uid]
	if s == nil {
		s = newStory(math.MinInt64)
		c.stories[what][c.uid(uid)] = s
	}
	s.now, s.traits = max(s.now, at.Time), traits
	if n := len(s.spans); n == 0 || s.spans[n-1].end != open {
		if n > 0 && s.spans[n-1].before(c.from) {
			s.spans = s.spans[:n-1]
		}
		s.spans = append(s.spans, span{start: s.now, end: open, first: at})
	}
	if digest == nil {
		return
	}
	// Of what was before the interval only the last counts.
	if n := len(s.versions); n > 0 && s.now <= c.from {
		s.versions = s.versions[:n-1]
	}
	s.versions = append(s.versions, version{s.now, *digest, at.Index})
}

// ended notes a deletion.
func (c *recorder) ended(what Kind, uid string, at Ref, inferred bool) {
	if c == nil || c.keeps(graveKey{what, uid}, happening{at: at, ends: true, inferred: inferred}) {
		return
	}
	s := c.stories[what][uid]
	s.now = max(s.now, at.Time)
	last := &s.spans[len(s.spans)-1]
	last.end, last.inferred = s.now, inferred
	if s.now <= c.from && s.spans[0].before(c.from) {
		delete(c.stories[what], uid)
	}
}

// before says that the span ended before the time, or as it came.
func (s span) before(t int64) bool { return s.end <= t && s.start < t }

// clip is the part of the span in the interval, both ends included.
func (s span) clip(from, to int64) (span, bool) {
	if s.start > to || s.before(from) {
		return span{}, false
	}
	s.start, s.end = max(s.start, from), min(s.end, to)
	return s, true
}

// seed begins the stories with what is alive in a replay.
func (c *recorder) seed(r *Replay) {
	for uid, a := range r.assets {
		c.stories[Inventory][c.uid(uid)] = seeded(a.created, a.last, r.traits.list[a.traits])
	}
	for uid, f := range r.configs {
		s := seeded(f.created, f.last, r.traits.list[f.traits])
		s.versions = []version{{f.last.Time, f.digest, f.last.Index}}
		c.stories[Configuration][c.uid(uid)] = s
	}
}

func seeded(created, last Ref, traits *Traits) *story {
	s := newStory(last.Time)
	s.spans, s.traits = append(s.spans, span{start: created.Time, end: open, first: created}), traits
	return s
}
