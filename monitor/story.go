package monitor

import (
	"crypto/sha256"
	"math"
)

// open is the end of what has not ended.
const open = math.MaxInt64

// span is a time in which something was alive.
type span struct {
	start, end int64 // milliseconds since 1970; end is not part of it
	first      Ref   // the record that began it
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
	now      int64 // when the last record took effect
}

// recorder keeps the stories of a replay from a time on.
type recorder struct {
	from    int64
	stories map[Kind]map[string]*story
}

func newRecorder(from int64) *recorder {
	return &recorder{from, map[Kind]map[string]*story{Inventory: {}, Configuration: {}}}
}

// alive notes that a record made or kept something alive.
func (c *recorder) alive(what Kind, uid string, at Ref, digest *[sha256.Size]byte) {
	if c == nil {
		return
	}
	s := c.stories[what][uid]
	if s == nil {
		s = &story{now: math.MinInt64}
		c.stories[what][uid] = s
	}
	s.now = max(s.now, at.Time)
	if n := len(s.spans); n == 0 || s.spans[n-1].end != open {
		if n > 0 && s.spans[n-1].before(c.from) {
			s.spans = s.spans[:n-1]
		}
		s.spans = append(s.spans, span{s.now, open, at})
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
func (c *recorder) ended(what Kind, uid string, at Ref) {
	if c == nil {
		return
	}
	s := c.stories[what][uid]
	s.now = max(s.now, at.Time)
	s.spans[len(s.spans)-1].end = s.now
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
		c.stories[Inventory][uid] = &story{spans: []span{{a.created.Time, open, a.created}}, now: a.last.Time}
	}
	for uid, f := range r.configs {
		c.stories[Configuration][uid] = &story{
			spans:    []span{{f.created.Time, open, f.created}},
			versions: []version{{f.last.Time, f.digest, f.last.Index}},
			now:      f.last.Time,
		}
	}
}
