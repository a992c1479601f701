// Package firsts remembers which entry of a log was the first with its entry id.
//
// It takes 16 bytes an entry, in open addressing at most three quarters full:
// 21 to 43 bytes, and about 9 where it is saved. The beginnings of ids are
// held. Whole ids are compared in the log itself, so what is held only has to
// be probably unique.
package firsts

import (
	"encoding/binary"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/conmotion/conmotion/scitt"
)

// prefixSize is how much of an id is held, in bytes.
const prefixSize = 8

// Table holds for each id the index of the entry that took it. It is not safe
// for concurrent use.
type Table struct {
	shards [256]shard
	mix    uint64 // secret and odd: nobody can choose ids that collide
	count  int
	last   uint64 // the largest index plus one
}

type shard struct {
	slots []slot
	used  int
}

// slot is the beginning of an id, and the index of its entry plus one.
type slot struct{ prefix, next uint64 }

// New returns an empty table.
func New() *Table { return &Table{mix: rand.Uint64() | 1} }

// Find returns the index of the entry that took an id; ok is false when none
// did. is reports whether the entry at an index has this id, and a right to it:
// it is called where the beginnings are equal, and its error ends the search.
func (t *Table) Find(id scitt.EntryID, is func(index uint64) (bool, error)) (index uint64, ok bool, err error) {
	sh, prefix := t.shard(id)
	if len(sh.slots) == 0 {
		return 0, false, nil
	}
	for i := home(prefix, t.mix, len(sh.slots)); sh.slots[i].next != 0; i = (i + 1) % len(sh.slots) {
		if sh.slots[i].prefix != prefix {
			continue
		}
		at := sh.slots[i].next - 1
		if ok, err = is(at); err != nil || ok {
			return at, ok, err
		}
	}
	return 0, false, nil
}

// Take notes that the entry at an index took an id. Nothing took it before, or
// only entries to which the is of Find gives no right to it.
func (t *Table) Take(id scitt.EntryID, index uint64) {
	t.add(slot{binary.BigEndian.Uint64(id[:]), index + 1})
}

func (t *Table) add(e slot) {
	t.count++
	t.last = max(t.last, e.next)
	t.shards[byte(e.prefix)].add(t.mix, e)
}

// Move gives an id that the entry at from took to the one at to.
func (t *Table) Move(id scitt.EntryID, from, to uint64) {
	sh, prefix := t.shard(id)
	t.last = max(t.last, to+1)
	for i := range sh.slots {
		if sh.slots[i] == (slot{prefix, from + 1}) {
			sh.slots[i].next = to + 1
		}
	}
}

func (t *Table) shard(id scitt.EntryID) (*shard, uint64) {
	prefix := binary.BigEndian.Uint64(id[:])
	return &t.shards[byte(prefix)], prefix
}

func (sh *shard) add(mix uint64, e slot) {
	if 4*(sh.used+1) > 3*len(sh.slots) {
		old := sh.slots
		sh.slots = make([]slot, max(16, 2*len(old)))
		for _, e := range old {
			if e.next != 0 {
				sh.put(mix, e)
			}
		}
	}
	sh.used++
	sh.put(mix, e)
}

func (sh *shard) put(mix uint64, e slot) {
	i := home(e.prefix, mix, len(sh.slots))
	for sh.slots[i].next != 0 {
		i = (i + 1) % len(sh.slots)
	}
	sh.slots[i] = e
}

// home is where in a table of n slots, a power of two, the search begins.
func home(prefix, mix uint64, n int) int { return int((prefix * mix) >> 32 & uint64(n-1)) }

// all are the slots in use.
func (t *Table) all() iter.Seq[slot] {
	return func(yield func(slot) bool) {
		for i := range t.shards {
			for _, e := range t.shards[i].slots {
				if e.next != 0 && !yield(e) {
					return
				}
			}
		}
	}
}

// Save returns the table in one encoding: by index, how far each is behind the
// one before it as a uvarint, and the first 8 bytes of its id.
//
//	saved = *( uvarint(index - previous) prefix )    previous is -1 at first
func (t *Table) Save() []byte {
	slots := slices.SortedFunc(t.all(), func(a, b slot) int {
		if a.next < b.next {
			return -1
		}
		return 1
	})
	out := make([]byte, 0, (prefixSize+1)*len(slots))
	last := uint64(0)
	for _, e := range slots {
		out, last = e.append(out, last), e.next
	}
	return out
}

func (e slot) append(saved []byte, last uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(saved, e.next-last), e.prefix)
}

// Saver is the bytes that Save would return for a Table, made one by one. The zero
// value is of an empty one.
type Saver struct {
	Bytes []byte
	last  uint64
}

// NewSaver continues after what Load has read.
func NewSaver(saved []byte, loaded *Table) Saver { return Saver{saved, loaded.last} }

// Take adds what Table.Take notes. The index is larger than those before.
func (s *Saver) Take(id scitt.EntryID, index uint64) {
	e := slot{binary.BigEndian.Uint64(id[:]), index + 1}
	s.Bytes, s.last = e.append(s.Bytes, s.last), e.next
}

// ErrDamaged is returned for bytes that Save did not write.
var ErrDamaged = errors.New("the table of entry ids is damaged")

// Load reads what Save wrote of a log of which size entries were read. The error
// is ErrDamaged.
func Load(data []byte, size uint64) (*Table, error) {
	t := New()
	last := uint64(0)
	for len(data) > 0 {
		step, n := binary.Uvarint(data)
		if n <= 0 || len(data) < n+prefixSize || step == 0 || step > size-last || n > 1 && data[n-1] == 0 {
			return nil, ErrDamaged
		}
		last += step
		t.add(slot{binary.BigEndian.Uint64(data[n:]), last})
		data = data[n+prefixSize:]
	}
	return t, nil
}
