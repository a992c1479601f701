package monitor

import (
	"cmp"
	"context"
	"encoding/hex"
	"io"
	"maps"
	"slices"
)

// formatHistory and formatDifference name formats.
const (
	formatHistory    = "conmotion-history/1"
	formatDifference = "conmotion-difference/1"
)

// Step is one record of an asset's history.
type Step struct {
	Action         Action      `json:"action"`
	Configurations []string    `json:"configurations"` // uids of those of the asset that the record is about
	Entry          refDocument `json:"entry"`
	Issuer         string      `json:"issuer"`
	What           Kind        `json:"what"`
}

// History is every record about one asset, its configurations included, in the
// log's order.
type History struct {
	Format string `json:"format"`
	Origin string `json:"origin"`
	Steps  []Step `json:"steps"`
	UID    string `json:"uid"`
	Unread Unread `json:"unread"` // records that may be about it
}

// Gone is the action of a step that no record says: a scan did not see the asset.
const Gone Action = "gone"

// HistoryOf reads the history of an asset, which any of its names may name, from the
// entries before index to. The deletion of a shared configuration need not name its
// assets: it is found when the asset had it. Where names other than identities are in
// the log it is read twice: what was said by another name comes before that this is one.
// The error wraps ErrMalformed where the name is that of several assets.
func HistoryOf(ctx context.Context, log Log, f Filter, uid string, to uint64) (*History, error) {
	h, state, err := historyOf(ctx, log, f, uid, to, nil)
	if err != nil || len(state.names) == 0 {
		return h, err
	}
	if uid, err = state.Identify(uid); err != nil {
		return nil, err
	}
	h, _, err = historyOf(ctx, log, f, uid, to, state)
	return h, err
}

// historyOf is HistoryOf by the names in a replay of all these entries, if there is one.
func historyOf(ctx context.Context, log Log, f Filter, uid string, to uint64, names *Replay) (*History, *Replay, error) {
	f = f.normal()
	h := &History{Format: formatHistory, Origin: log.Checkpoint.Origin, Steps: []Step{}, UID: uid}
	has := map[string]bool{}   // configurations that the asset has
	state := NewReplay(f, nil) // a scan speaks of it when the records amount to what it saw
	for rec, err := range records(ctx, log, f, state.heirs, NewOnce(), 0, min(to, log.Checkpoint.Size)) {
		if err == nil {
			err = state.prepare(ctx, log, rec)
		}
		if err != nil {
			return nil, nil, err
		}
		_, before := state.assets[uid]
		state.apply(rec)
		if _, now := state.assets[uid]; rec.scan != nil && before && !now {
			at := rec.document()
			at.Time = rec.scan.Started.UnixMilli()
			h.Steps = append(h.Steps, Step{Gone, []string{}, at, rec.issuer, Inventory})
			clear(has)
		}
		e := rec.event
		if rec.flaw == AnomalyNoStatement || slices.Contains(f.Types, rec.typ) {
			h.Unread.add(rec.flaw)
		}
		if e == nil {
			continue
		}
		if names != nil {
			e = e.identified(func(name string) string {
				if all := names.others(name); len(all) == 1 {
					return all[0]
				}
				return name
			})
		}
		s := Step{e.Action, []string{}, rec.document(), rec.issuer, e.Kind}
		for _, c := range e.Configurations {
			if now := slices.Contains(c.Assets, uid); now || has[c.UID] {
				s.Configurations = append(s.Configurations, c.UID)
				has[c.UID] = now && e.Action != Delete
			}
		}
		if e.Kind == Inventory && slices.Contains(e.Assets, uid) || len(s.Configurations) > 0 {
			h.Steps = append(h.Steps, s)
			if e.Kind == Inventory && e.Action == Delete {
				clear(has)
			}
		}
	}
	return h, state, nil
}

// Write writes the history as a JSON document in JCS form.
func (h *History) Write(w io.Writer) error { return writeDocument(w, h) }

func writeDocument(w io.Writer, v any) error {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// Change is how an asset or a configuration differs between two replays.
type Change struct {
	After  *refDocument `json:"after,omitempty"`  // its last record then; not there when it is not alive
	Before *refDocument `json:"before,omitempty"` // its last record before
	// Content is whether a configuration's content changed, Links whether the
	// assets of a configuration, or the configurations of an asset, did.
	Content bool   `json:"content"`
	Links   bool   `json:"links"`
	UID     string `json:"uid"`
	What    Kind   `json:"what"`
}

// Difference is how two replays of one party differ.
type Difference struct {
	Changes []Change `json:"changes"` // by kind of object and uid
	Format  string   `json:"format"`
	Origin  string   `json:"origin"`
}

// Diff lists what differs between two replays of the same log and filter.
func Diff(before, after *Replay) (*Difference, error) {
	if before.checkpoint.Origin != after.checkpoint.Origin || !before.filter.Equal(after.filter) {
		return nil, malformed("the replays are of different logs or parties")
	}
	d := &Difference{[]Change{}, formatDifference, after.checkpoint.Origin}
	uids := func(a, b []string) []string {
		a = append(a, b...)
		slices.Sort(a)
		return slices.Compact(a)
	}
	for _, uid := range uids(slices.Collect(maps.Keys(before.configs)), slices.Collect(maps.Keys(after.configs))) {
		c := Change{UID: uid, What: Configuration}
		x, y := before.configs[uid], after.configs[uid]
		if x != nil {
			c.Before = pointer(x.last.document())
		}
		if y != nil {
			c.After = pointer(y.last.document())
		}
		c.Content = x == nil || y == nil || x.digest != y.digest
		c.Links = x == nil || y == nil || !slices.Equal(x.assetsOf(uid), y.assetsOf(uid))
		d.add(c)
	}
	for _, uid := range uids(slices.Collect(maps.Keys(before.assets)), slices.Collect(maps.Keys(after.assets))) {
		c := Change{UID: uid, What: Inventory}
		x, y := before.assets[uid], after.assets[uid]
		if x != nil {
			c.Before = pointer(x.last.document())
		}
		if y != nil {
			c.After = pointer(y.last.document())
		}
		c.Links = !slices.Equal(before.configsOf(uid), after.configsOf(uid))
		d.add(c)
	}
	return d, nil
}

func pointer[T any](v T) *T { return &v }

func (d *Difference) add(c Change) {
	if c.Before == nil || c.After == nil || *c.Before != *c.After || c.Content || c.Links {
		d.Changes = append(d.Changes, c)
	}
}

// Write writes the difference as a JSON document in JCS form.
func (d *Difference) Write(w io.Writer) error { return writeDocument(w, d) }

// Asset is an asset of a replay.
type Asset struct {
	UID            string
	Created, Last  Ref // the records that began its present life, and the last one
	Configurations []string
}

// Assets are the assets that are alive, by uid.
func (r *Replay) Assets() []Asset {
	out := make([]Asset, 0, len(r.assets))
	for uid, a := range r.assets {
		out = append(out, Asset{uid, a.created, a.last, r.configsOf(uid)})
	}
	slices.SortFunc(out, func(a, b Asset) int { return cmp.Compare(a.UID, b.UID) })
	return out
}

// Asset is one asset that is alive.
func (r *Replay) Asset(uid string) (Asset, bool) {
	a := r.assets[uid]
	if a == nil {
		return Asset{}, false
	}
	return Asset{uid, a.created, a.last, r.configsOf(uid)}, true
}

// ConfigurationState is a configuration of a replay.
type ConfigurationState struct {
	UID           string
	Created, Last Ref
	SHA256        string // of the content in JCS form
	Assets        []string
}

// Configurations are the configurations that are alive, by uid.
func (r *Replay) Configurations() []ConfigurationState {
	return r.states(slices.Sorted(maps.Keys(r.configs)))
}

// ConfigurationsOf are those of an asset that is alive, by uid.
func (r *Replay) ConfigurationsOf(uid string) []ConfigurationState { return r.states(r.configsOf(uid)) }

func (r *Replay) states(uids []string) []ConfigurationState {
	out := make([]ConfigurationState, 0, len(uids))
	for _, uid := range uids {
		c := r.configs[uid]
		out = append(out, ConfigurationState{uid, c.created, c.last, hex.EncodeToString(c.digest[:]), slices.Clone(c.assetsOf(uid))})
	}
	return out
}

// Anomalies are the first anomalies that were found, and how many there are more.
func (r *Replay) Anomalies() (list []Anomaly, more uint64) {
	return slices.Clone(r.anomalies), r.anomaliesMore
}
