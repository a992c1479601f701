package monitor

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/conmotion/conmotion/scitt"
)

// Link leads from an asset to an entry of another log.
type Link struct {
	From   EntryRef // the acknowledgement or the record that refers to it
	Issuer string
	Issued int64 // its iat: seconds since 1970
	To     EntryRef
	// Acknowledgement is what refers to it; nil when it is a record.
	Acknowledgement *Acknowledgement
}

// Carried reports whether it is an acknowledgement that was read in another log than its
// home: see [Registered.Carried].
func (l Link) Carried() bool {
	return l.Acknowledgement != nil && l.From.Origin != l.Acknowledgement.Home
}

// Links reads what in a log leads from an asset to other logs: every
// acknowledgement that names it, and the references of the records that say
// how it is now, its inventory record and those of its configurations. They are
// in the log's order. What cannot be read is listed as an anomaly. It verifies
// nothing of what is referred to.
func Links(ctx context.Context, log Log, uid string) ([]Link, []Anomaly, error) {
	now := map[configKey][]Link{} // of the records that count
	var acknowledged []Link
	f := Filter{Types: []string{scitt.TypeRecord, scitt.TypeAcknowledgement}}
	read := func(s *scitt.Statement, self EntryRef, content []byte) (struct{}, error) {
		if s.Type == scitt.TypeAcknowledgement {
			a, err := parseAcknowledgement(content)
			if err == nil {
				err = about(s, a)
			}
			if err == nil && a.Asset == uid {
				acknowledged = append(acknowledged, Link{self, s.Issuer, s.IssuedAt, a.Entry, a})
			}
			return struct{}{}, err
		}
		return struct{}{}, followRecord(now, uid, s, self, content)
	}
	_, bad, err := statements(ctx, log, f, read)
	if err != nil {
		return nil, nil, err
	}
	links := acknowledged
	for l := range maps.Values(now) {
		links = append(links, l...)
	}
	slices.SortFunc(links, func(a, b Link) int {
		if c := compareRefs(a.From, b.From); c != 0 {
			return c
		}
		return compareRefs(a.To, b.To)
	})
	// An event about several configurations refers once.
	return slices.CompactFunc(links, func(a, b Link) bool { return a.From == b.From && a.To == b.To }), bad, nil
}

// configKey is the inventory, or a configuration by its uid.
type configKey struct {
	kind Kind
	uid  string
}

// followRecord notes the references of a record about the asset in place of
// those of the record before it.
func followRecord(now map[configKey][]Link, uid string, s *scitt.Statement, self EntryRef, content []byte) error {
	e, err := ParseEvent(content)
	if errors.Is(err, ErrOther) {
		return nil
	}
	if err != nil {
		return err
	}
	touched := map[configKey]bool{} // whether the asset has it afterwards
	if e.Kind == Inventory && slices.Contains(e.Assets, uid) {
		if e.Action == Delete {
			clear(now)
			return nil
		}
		touched[configKey{kind: Inventory}] = true
	}
	for _, c := range e.Configurations {
		touched[configKey{Configuration, c.UID}] = e.Action != Delete && slices.Contains(c.Assets, uid)
	}
	var links []Link
	if len(touched) > 0 {
		var refs []EntryRef
		refs, err = upstreamOf(content)
		for _, ref := range refs {
			links = append(links, Link{From: self, Issuer: s.Issuer, Issued: s.IssuedAt, To: ref})
		}
	}
	for key, has := range touched {
		delete(now, key)
		if has && len(links) > 0 {
			now[key] = links
		}
	}
	if !slices.Contains(e.Assets, uid) {
		return nil // what is wrong about it is no matter here
	}
	return err
}
