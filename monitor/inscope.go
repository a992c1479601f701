package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// namedAsset is an asset with its uid.
type namedAsset struct {
	uid string
	*asset
}

// sortedAssets are a replay's assets in the order of their uids as its last scan left them, and those that came since. A log
// may have a scan for every few records, and sorting all again would take longer than reading these.
type sortedAssets struct{ then, since []namedAsset }

// add notes a new asset.
func (s *sortedAssets) add(a namedAsset) {
	switch {
	case s.then == nil: // no scan came yet
	case len(s.since) > len(s.then): // sorting all takes about as long
		*s = sortedAssets{}
	default:
		s.since = append(s.since, a)
	}
}

// all are the assets that are alive, in order.
func (s *sortedAssets) all(alive map[string]*asset) []namedAsset {
	order := func(a, b namedAsset) int { return strings.Compare(a.uid, b.uid) }
	if s.then == nil {
		s.then = make([]namedAsset, 0, len(alive))
		for uid, a := range alive {
			s.then = append(s.then, namedAsset{uid, a})
		}
		slices.SortFunc(s.then, order)
		return s.then
	}
	ended := func(a namedAsset) bool { return a.ended }
	then, since := slices.DeleteFunc(s.then, ended), slices.DeleteFunc(s.since, ended)
	slices.SortFunc(since, order)
	n, m := len(then), len(since)
	then = slices.Grow(then, m)[:n+m]
	for at := n + m - 1; m > 0; at-- { // the last first, so that nothing is in the way
		if n > 0 && order(then[n-1], since[m-1]) > 0 {
			n--
			then[at] = then[n]
		} else {
			m--
			then[at] = since[m]
		}
	}
	s.then, s.since = then, nil
	return then
}

// inScope are the assets whose newest record is of an issuer, and which are in a scope, by their uids.
func (r *Replay) inScope(issuer int, scope Scope) []namedAsset {
	selected := make([]bool, len(r.traits.list))
	for i, t := range r.traits.list {
		selected[i] = scope.selects(*t)
	}
	assets := make([]namedAsset, 0, len(r.assets))
	for _, a := range r.sorted.all(r.assets) {
		if a.issuer == issuer && selected[a.traits] {
			assets = append(assets, a)
		}
	}
	return assets
}

// known is the last time at which the asset is known to have been there: its newest record's, or the start of the newest
// scan that saw it.
func (a *asset) known() int64 { return max(a.last.Time, a.seen) }

// set is the count and the digest of assets: of each in order a line of its uid, of what its newest record says of it,
// and of the uid and content of each of its configurations.
func (r *Replay) set(assets []namedAsset) (int, string) {
	h := sha256.New()
	var line []byte
	for _, a := range assets {
		line = appendContent(line[:0], a.uid, &a.digest)
		if c := r.configs[a.uid]; c != nil && c.own && len(r.links[a.uid]) == 0 { // nearly always
			line = appendContent(append(line, ' '), a.uid, &c.digest)
		} else {
			for _, uid := range r.configsOf(a.uid) {
				line = appendContent(append(line, ' '), uid, &r.configs[uid].digest)
			}
		}
		h.Write(append(line, '\n'))
	}
	return len(assets), hex.EncodeToString(h.Sum(nil))
}

// appendContent appends a uid and the digest of a content.
func appendContent(to []byte, uid string, digest *[sha256.Size]byte) []byte {
	return hex.AppendEncode(append(appendUID(to, uid), ' '), digest[:])
}

// appendUID appends the number of a uid's bytes, and the uid.
func appendUID(to []byte, uid string) []byte {
	return append(append(strconv.AppendInt(to, int64(len(uid)), 10), ':'), uid...)
}
