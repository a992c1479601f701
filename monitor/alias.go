package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// aliasKey is a name that an issuer's records give to an asset beside its identity.
type aliasKey struct {
	issuer int
	name   string
}

// claim is the newest record by which an asset has another name.
type claim struct {
	asset string
	index uint64
}

// holds reports whether a name is that of an asset which is alive, in the life in which the name was said.
func (r *Replay) holds(c claim) bool {
	if a := r.assets[c.asset]; a != nil {
		return a.created.Index <= c.index
	}
	f := r.configs[c.asset]
	return f != nil && f.own && f.created.Index <= c.index
}

// identify returns the asset that an issuer means by a name, and all of them where it is another name of several: then
// nothing is guessed, and it stands for itself.
func (r *Replay) identify(issuer int, name string) (asset string, several []string) {
	for _, c := range r.names[aliasKey{issuer, name}] {
		if r.holds(c) {
			several = append(several, c.asset)
		}
	}
	if len(several) == 1 {
		return several[0], nil
	}
	return name, several
}

// Identify returns the asset that somebody means by a name: one that is alive, or that of which an issuer says that it
// has this name too. Where it is that of several the error wraps ErrMalformed and names them.
func (r *Replay) Identify(name string) (asset string, err error) {
	all := r.others(name)
	switch {
	case r.assets[name] != nil || len(all) == 0:
		return name, nil
	case len(all) > 1:
		return name, malformed("%q is another name of several assets: %s", name, strings.Join(all, ", "))
	}
	return all[0], nil
}

// others are the assets that have a name as another one, whoever says so, in order.
func (r *Replay) others(name string) (assets []string) {
	for n := range r.issuers {
		for _, c := range r.names[aliasKey{n, name}] {
			assets = append(assets, c.asset)
		}
	}
	slices.Sort(assets)
	return slices.Compact(assets)
}

// identified is an event of an issuer with its assets by their identities.
func (r *Replay) identified(issuer int, e *Event) *Event {
	return e.identified(func(name string) string {
		asset, _ := r.identify(issuer, name)
		return asset
	})
}

// identified is an event with its assets as identify calls them.
func (e *Event) identified(identify func(string) string) *Event {
	to := map[string]string{}
	note := func(names []string) {
		for _, name := range names {
			if asset := identify(name); asset != name {
				to[name] = asset
			}
		}
	}
	note(e.Assets)
	for _, c := range e.Configurations {
		note(c.Assets)
	}
	if len(to) == 0 {
		return e
	}
	out := *e
	out.Assets, out.about, out.Configurations = renamed(e.Assets, to), slices.Clone(e.about), slices.Clone(e.Configurations)
	for i := range out.about {
		out.about[i].uid = cmp.Or(to[out.about[i].uid], out.about[i].uid)
	}
	for i := range out.Configurations {
		c := &out.Configurations[i]
		c.Assets = renamed(c.Assets, to)
		for from, asset := range to {
			c.UID = renamedConfig(c.UID, from, asset)
		}
	}
	return &out
}

// renamed are names of assets in order, each once.
func renamed(names []string, to map[string]string) []string {
	out := slices.Clone(names)
	for i, name := range out {
		out[i] = cmp.Or(to[name], name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// renamedConfig is the uid of a configuration when an asset has another name: it is the asset's, or that with "#" and
// more behind it (package importer).
func renamedConfig(uid, from, to string) string {
	if rest, ok := strings.CutPrefix(uid, from); ok && (rest == "" || rest[0] == '#') {
		return to + rest
	}
	return uid
}

// join joins what was said of the assets in an event by other names, before that was known, with what is said of them.
func (r *Replay) join(issuer int, e *Event) {
	for _, d := range e.about {
		for _, name := range d.others {
			a, c := r.assets[name], r.configs[name]
			alive := a != nil && a.issuer == issuer || c != nil && c.own && c.issuer == issuer
			if alive && name != d.uid && len(r.rivals(issuer, name, d.uid)) == 0 {
				r.rename(name, d.uid)
			}
		}
	}
}

// named notes the other names of the assets in an event that was applied.
func (r *Replay) named(issuer int, e *Event, at Ref) {
	for _, d := range e.about {
		for _, name := range d.others {
			if e.Action != Delete && name != d.uid {
				r.names[aliasKey{issuer, name}] = append(r.rivals(issuer, name, d.uid), claim{d.uid, at.Index})
			}
		}
	}
}

// rivals are the other assets that have a name.
func (r *Replay) rivals(issuer int, name, asset string) (out []claim) {
	for _, c := range r.names[aliasKey{issuer, name}] {
		if c.asset != asset && r.holds(c) {
			out = append(out, c)
		}
	}
	return out
}

// ambiguous tells of the names in an event that are those of several assets.
func (r *Replay) ambiguous(issuer int, e *Event, at Ref) {
	for _, name := range e.Assets {
		if _, several := r.identify(issuer, name); len(several) > 0 {
			r.anomaly(Anomaly{Kind: AnomalyAlias, What: e.Kind, UID: name, Detail: severalNames(several)}, at, nil)
		}
	}
}

func severalNames(assets []string) string {
	return limit(fmt.Sprintf("it is another name of several assets, and taken for one of its own: %s", strings.Join(assets, ", ")))
}

// rename joins what is known of an asset by one name with what is known of it by another.
func (r *Replay) rename(from, to string) {
	if a := r.assets[from]; a != nil {
		if b := r.assets[to]; b == nil {
			r.addAsset(to, pointer(*a)) // a itself is what ends
		} else {
			b.created, b.seen = first(a.created, b.created), max(a.seen, b.seen)
		}
		r.removeAsset(from)
		r.story.rename(Inventory, from, to)
	}
	for _, uid := range r.configsOf(from) {
		c, now := r.configs[uid], renamedConfig(uid, from, to)
		for _, a := range c.assets {
			r.unlink(a, uid)
		}
		c.assets = renamed(c.assets, map[string]string{from: to})
		if other := r.configs[now]; other != nil && other != c {
			other.created = first(c.created, other.created)
			c = other
		}
		if now != uid {
			delete(r.configs, uid)
			r.story.rename(Configuration, uid, now)
		}
		r.configs[now] = c
		for _, a := range c.assets {
			r.link(a, now)
		}
	}
}

func first(a, b Ref) Ref {
	if a.Index < b.Index {
		return a
	}
	return b
}

// rename joins two stories.
func (c *recorder) rename(what Kind, from, to string) {
	if c == nil {
		return
	}
	a, b := graveKey{what, from}, graveKey{what, to}
	c.renamed[a] = b
	if list, ok := c.corrected[a]; ok {
		delete(c.corrected, a)
		c.corrected[b] = append(list, c.corrected[b]...)
	}
	s, t := c.stories[what][from], c.stories[what][to]
	delete(c.stories[what], from)
	switch {
	case s == nil:
		return
	case t != nil:
		t.join(s)
	default:
		c.stories[what][to] = s
	}
}

// join adds what another story says of the same object.
func (s *story) join(other *story) {
	spans := slices.Concat(s.spans, other.spans)
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	s.spans = spans[:1]
	for _, next := range spans[1:] {
		last := &s.spans[len(s.spans)-1]
		switch {
		case next.start > last.end:
			s.spans = append(s.spans, next)
		case next.end > last.end:
			last.end, last.inferred = next.end, next.inferred
		}
	}
	s.versions = append(s.versions, other.versions...)
	slices.SortStableFunc(s.versions, func(a, b version) int { return cmp.Compare(a.start, b.start) })
	s.now = max(s.now, other.now)
}

// told is one side's stories, and the other names in it.
type told struct {
	*Replay // of which only names and issuers are left
	stories map[Kind]map[string]*story
}

// join gives the objects of one side the names that the other side has for them, where the other says that they are
// other names of one asset, which this side does not have by itself, nor by two names. Where there are several nothing
// is guessed: it returns these objects, in order, with the assets as the detail.
func (t told) join(other told) (several []Anomaly) {
	if len(other.names) == 0 {
		return nil
	}
	for _, what := range []Kind{Configuration, Inventory} {
		stories := t.stories[what]
		to := map[string][]string{} // names by the object that is meant
		for uid := range stories {
			name, rest := uid, ""
			if i := strings.LastIndexByte(uid, '#'); what == Configuration && i >= 0 {
				name, rest = uid[:i], uid[i:]
			}
			assets := slices.DeleteFunc(other.others(name), func(a string) bool {
				return other.stories[what][a+rest] == nil
			})
			switch {
			case other.stories[what][uid] != nil || len(assets) == 0:
			case len(assets) > 1:
				several = append(several, Anomaly{Kind: AnomalyAlias, What: what, UID: uid, Detail: severalNames(assets)})
			case stories[assets[0]+rest] == nil:
				to[assets[0]+rest] = append(to[assets[0]+rest], uid)
			}
		}
		for uid, names := range to {
			if len(names) == 1 {
				stories[uid] = stories[names[0]]
				delete(stories, names[0])
			}
		}
	}
	slices.SortFunc(several, func(a, b Anomaly) int { return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.UID, b.UID)) })
	return several
}

// addAmbiguous lists the objects of a side that are named by what are other names of several assets for the other side.
func (s *Side) addAmbiguous(t told, several []Anomaly) {
	for _, a := range several {
		if len(s.Anomalies) >= maxAnomalies {
			s.AnomaliesMore++
			continue
		}
		a.Entry = t.stories[a.What][a.UID].spans[0].first.entry(s.Checkpoint.Origin)
		s.Anomalies = append(s.Anomalies, a)
	}
}
