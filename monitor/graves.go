package monitor

// maxGraves is how many deletions are remembered, so that a record after a
// deletion is told from one about something unknown. More would make the
// state as large as the log.
const maxGraves = 1 << 14

type graveKey struct {
	what Kind
	uid  string
}

// grave is a deletion.
type grave struct {
	graveKey
	entry     Ref
	withAsset bool // a configuration that ended with its asset, and whose own deletion has not come yet
	inferred  bool // from a scan
}

// graves are the last deletions, the oldest first.
type graves struct {
	list  []grave
	first uint64 // the number of the first in the list
	at    map[graveKey]uint64
}

func (g *graves) find(key graveKey) *grave {
	n, ok := g.at[key]
	if !ok {
		return nil
	}
	return &g.list[n-g.first]
}

func (g *graves) bury(dead grave) {
	if len(g.list) >= maxGraves {
		if oldest := g.list[0]; g.at[oldest.graveKey] == g.first {
			delete(g.at, oldest.graveKey)
		}
		g.list = g.list[1:]
		g.first++
	}
	g.at[dead.graveKey] = g.first + uint64(len(g.list))
	g.list = append(g.list, dead)
}
