package search

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// ErrDamaged says that the index is damaged. The indexer builds it anew.
var ErrDamaged = errors.New("search: the index is damaged")

// A block is a run of terms of a segment, in order:
//
//	block    = inverted crc32c(4) *( key entries )
//	key      = uvarint(hi - hi before, 0 at the start) uvarint(lo)
//	entries  = uvarint(1) uvarint(entry)                    a single entry
//	         / uvarint(2*n)   n bytes of uvarint(difference), n >= 2
//	         / uvarint(2*n+1) n bytes: uvarint(first byte) and then a bitmap, n >= 2
//
// In lists the first difference is the entry itself. lo is the difference to
// the lo before where hi is the same. A block ends with the term that makes
// it larger than blockSize.
const blockSize = 16 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts the checksum into the first four bytes. It is inverted, so that
// zeros are not their own.
func seal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b, ^crc32.Checksum(b[4:], castagnoli))
	return b
}

// unseal checks what seal made and gives the rest.
func unseal(b []byte) ([]byte, error) {
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != ^crc32.Checksum(b[4:], castagnoli) {
		return nil, ErrDamaged
	}
	return b[4:], nil
}

// blockWriter cuts sorted terms into blocks.
type blockWriter struct {
	put  func(block []byte) error // keeps nothing of it
	dir  []key                    // the first key of each block
	buf  []byte
	last key
	list []byte // scratch
}

// add writes a term and its entries, which are in order and not repeated.
func (w *blockWriter) add(k key, entries []uint32) error {
	if len(w.buf) == 0 {
		w.buf = append(w.buf, 0, 0, 0, 0)
		w.dir = append(w.dir, k)
		w.last = key{}
	}
	w.buf = binary.AppendUvarint(w.buf, k.hi-w.last.hi)
	if k.hi == w.last.hi {
		w.buf = binary.AppendUvarint(w.buf, k.lo-w.last.lo)
	} else {
		w.buf = binary.AppendUvarint(w.buf, k.lo)
	}
	w.last = k
	w.entries(entries)
	if len(w.buf) >= blockSize {
		return w.flush()
	}
	return nil
}

func (w *blockWriter) entries(entries []uint32) {
	if len(entries) == 1 {
		w.buf = append(w.buf, 1)
		w.buf = binary.AppendUvarint(w.buf, uint64(entries[0]))
		return
	}
	first := entries[0] / 8
	bitmap := int(entries[len(entries)-1]/8-first) + 1
	w.list = w.list[:0]
	// The bitmap is smaller than one byte for each entry: do not try the list.
	if bitmap+5 < len(entries) {
		w.list = binary.AppendUvarint(w.list, uint64(first))
		head := len(w.list)
		w.list = slices.Grow(w.list, bitmap)[:head+bitmap]
		bits := w.list[head:]
		clear(bits)
		for _, e := range entries {
			bits[e/8-first] |= 1 << (e % 8)
		}
		w.buf = binary.AppendUvarint(w.buf, uint64(2*len(w.list)+1))
	} else {
		last := uint32(0)
		for _, e := range entries {
			w.list = binary.AppendUvarint(w.list, uint64(e-last))
			last = e
		}
		w.buf = binary.AppendUvarint(w.buf, uint64(2*len(w.list)))
	}
	w.buf = append(w.buf, w.list...)
}

func (w *blockWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	block := seal(w.buf)
	w.buf = w.buf[:0]
	return w.put(block)
}

// blockReader reads the terms of one block.
type blockReader struct {
	data []byte
	key  key
	list []byte // how the entries are written
	form uint64
	one  uint32
}

func newBlockReader(block []byte) (blockReader, error) {
	data, err := unseal(block)
	return blockReader{data: data}, err
}

// next goes to the next term. At the end of the block ok is false.
func (r *blockReader) next() (ok bool, err error) {
	if len(r.data) == 0 {
		return false, nil
	}
	// Of a variable of its own: each store into r would be seen by the garbage
	// collector, and this is where queries spend their time.
	hi, data := uvarint(r.data)
	lo, data := uvarint(data)
	form, data := uvarint(data)
	if hi == 0 {
		lo += r.key.lo
	}
	r.key = key{r.key.hi + hi, lo}
	if r.form = form; form == 1 {
		var one uint64
		one, data = uvarint(data)
		r.one = uint32(one)
	} else {
		n := form / 2
		if n > uint64(len(data)) {
			return false, ErrDamaged
		}
		r.list, data = data[:n], data[n:]
	}
	if data == nil {
		return false, ErrDamaged
	}
	r.data = data
	return true, nil
}

// uvarint takes a number from data and gives the rest, which is nil when there
// is no number.
func uvarint(data []byte) (v uint64, rest []byte) {
	if len(data) > 0 && data[0] < 0x80 {
		return uint64(data[0]), data[1:]
	}
	v, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil
	}
	return v, data[n:]
}

// uvarint takes a number from data, which becomes nil when there is none.
func (r *blockReader) uvarint() (v uint64) {
	v, r.data = uvarint(r.data)
	return v
}

// entries gives the entries of the term to f, in order.
func (r *blockReader) entries(f func(entry uint32)) error {
	if r.form == 1 {
		f(r.one)
		return nil
	}
	if r.form%2 == 0 {
		sum := uint32(0)
		for list := r.list; len(list) > 0; {
			var step uint64
			if step, list = uvarint(list); list == nil {
				return ErrDamaged
			}
			sum += uint32(step)
			f(sum)
		}
		return nil
	}
	first, list := uvarint(r.list)
	base := uint32(first) * 8
	for i, b := range list {
		for bit := uint32(0); b != 0; bit, b = bit+1, b>>1 {
			if b&1 == 1 {
				f(base + uint32(i)*8 + bit)
			}
		}
	}
	return nil
}
