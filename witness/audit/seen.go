package audit

import "encoding/binary"

// seen finds duplicates. For each entry it holds 16 bytes, in open addressing
// at most three quarters full: 21 to 43 bytes an entry. A full leaf hash is
// compared in the log itself, so what is held only has to be probably unique.
type seen struct {
	shards [256]shard
	mix    uint64 // secret and odd: nobody can choose entries that collide
}

type shard struct {
	slots []slot
	used  int
}

// slot is the beginning of a leaf hash, and the index of its entry plus one.
type slot struct{ leaf, next uint64 }

// add notes the leaf at an index. When an equal leaf was added before it gives
// that one's index; same tells whether the leaf at an index is this one.
func (s *seen) add(leaf []byte, index uint64, same func(index uint64) (bool, error)) (first uint64, found bool, err error) {
	sh := &s.shards[leaf[8]]
	if 4*(sh.used+1) > 3*len(sh.slots) {
		sh.grow(s.mix)
	}
	prefix := binary.BigEndian.Uint64(leaf)
	i := home(prefix, s.mix, len(sh.slots))
	for ; sh.slots[i].next != 0; i = (i + 1) % len(sh.slots) {
		if sh.slots[i].leaf != prefix {
			continue
		}
		if at := sh.slots[i].next - 1; at < index {
			if found, err = same(at); err != nil || found {
				return at, found, err
			}
		}
	}
	sh.slots[i] = slot{prefix, index + 1}
	sh.used++
	return 0, false, nil
}

func (sh *shard) grow(mix uint64) {
	old := sh.slots
	sh.slots = make([]slot, max(16, 2*len(old)))
	for _, e := range old {
		if e.next == 0 {
			continue
		}
		i := home(e.leaf, mix, len(sh.slots))
		for sh.slots[i].next != 0 {
			i = (i + 1) % len(sh.slots)
		}
		sh.slots[i] = e
	}
}

// home is where in a table of n slots, a power of two, the search begins.
func home(leaf, mix uint64, n int) int { return int((leaf * mix) >> 32 & uint64(n-1)) }
