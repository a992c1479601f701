package firsts

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

func idOf(n int) scitt.EntryID { return sha256.Sum256(fmt.Append(nil, n)) }

// TestTable: an id is found where it was taken, also after it was saved and
// when others begin alike.
func TestTable(t *testing.T) {
	const n = 20_000
	ids := map[uint64]scitt.EntryID{}
	table := New()
	for i := range n {
		id := idOf(i)
		if i%10 == 1 { // begins as the one before it
			before := idOf(i - 1)
			copy(id[:prefixSize], before[:])
		}
		if i%10 == 2 {
			copy(id[:prefixSize], "the same") // all in one shard
		}
		ids[uint64(3*i)] = id
		table.Take(id, uint64(3*i))
	}
	table.Move(ids[30], 30, 31)
	ids[31] = ids[30]
	delete(ids, 30)
	saved := table.Save()
	half, err := Load(saved[:9*(n/2)], 3*n)
	if err != nil {
		t.Fatal(err)
	}
	saver := NewSaver(slices.Clone(saved[:9*(n/2)]), half)
	for i := n / 2; i < n; i++ {
		saver.Take(ids[uint64(3*i)], uint64(3*i))
	}
	if !bytes.Equal(saver.Bytes, saved) {
		t.Error("what is saved one by one is another")
	}
	if len(saved) > 9*n+1 {
		t.Errorf("%d bytes for %d ids", len(saved), n)
	}
	again, err := Load(saved, 3*n)
	if err != nil || again.count != n {
		t.Fatal(again.count, err)
	}
	for _, table := range []*Table{table, again} {
		for want, id := range ids {
			got, ok, err := table.Find(id, func(at uint64) (bool, error) { return ids[at] == id, nil })
			if err != nil || !ok || got != want {
				t.Fatalf("the id of entry %d is said to be that of %d, %v, %v", want, got, ok, err)
			}
		}
		if _, ok, _ := table.Find(idOf(-1), func(uint64) (bool, error) { return true, nil }); ok {
			t.Error("an id that nothing took")
		}
	}
	if !bytes.Equal(again.Save(), saved) {
		t.Error("it is saved in another way")
	}
	failed := errors.New("failed")
	if _, _, err := table.Find(ids[0], func(uint64) (bool, error) { return false, failed }); err != failed {
		t.Error(err)
	}
	if _, err := Load(saved, 3*(n-1)); err != ErrDamaged {
		t.Errorf("a table beyond the log: %v", err)
	}
}

// FuzzLoad: what is read is what is saved again.
func FuzzLoad(f *testing.F) {
	table := New()
	table.Take(idOf(1), 0)
	table.Take(idOf(2), 700)
	f.Add(table.Save(), uint64(701))
	f.Add(table.Save()[:10], uint64(1<<40))
	f.Add(append([]byte{0x81, 0}, make([]byte, 8)...), uint64(9)) // 1 in two bytes
	f.Add(append(bytes.Repeat([]byte{0xff}, 9), 1, 0, 0, 0, 0, 0, 0, 0, 0), uint64(1<<63))
	f.Fuzz(func(t *testing.T, data []byte, size uint64) {
		table, err := Load(data, size)
		if err != nil {
			return
		}
		if !bytes.Equal(table.Save(), data) {
			t.Errorf("read and saved again: %x, was %x", table.Save(), data)
		}
		for e := range table.all() {
			var id scitt.EntryID
			binary.BigEndian.PutUint64(id[:], e.prefix)
			if _, ok, _ := table.Find(id, func(at uint64) (bool, error) { return at+1 == e.next, nil }); !ok || e.next > size {
				t.Errorf("entry %d of %d is not found", e.next-1, size)
			}
		}
	})
}
