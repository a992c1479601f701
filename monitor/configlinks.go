package monitor

import "slices"

func (r *Replay) link(asset, config string) {
	list := r.links[asset]
	if i, found := slices.BinarySearch(list, config); !found {
		r.links[asset] = slices.Insert(list, i, config)
	}
}

func (r *Replay) unlink(asset, config string) {
	list := r.links[asset]
	if i, found := slices.BinarySearch(list, config); found {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(r.links, asset)
	} else {
		r.links[asset] = list
	}
}

// configsOf are the configurations of an asset, sorted.
func (r *Replay) configsOf(uid string) []string {
	list := r.links[uid]
	if c := r.configs[uid]; c != nil && c.own {
		i, _ := slices.BinarySearch(list, uid)
		return slices.Insert(slices.Clone(list), i, uid)
	}
	return slices.Clone(list)
}
