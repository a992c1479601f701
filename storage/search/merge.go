package search

import (
	"context"
	"database/sql"
	"errors"
	"math/bits"
	"slices"
)

const (
	fanIn       = 8
	maxSegment  = 1 << 20 // entries
	blocksAStep = 512     // in one transaction of a merge: 8 MiB
)

// tier is the size class of a segment, each eight times the one below.
func (s segmentInfo) tier() int { return bits.Len64(s.Next-s.First) / 3 }

// ripe finds the newest segments that should become one: at least eight, of
// which none is of a larger class than the last.
func ripe(segments []segmentInfo) []segmentInfo {
	if len(segments) == 0 {
		return nil
	}
	last := segments[len(segments)-1]
	from := len(segments)
	for from > 0 && segments[from-1].tier() <= last.tier() && last.Next-segments[from-1].First <= maxSegment {
		from--
	}
	if len(segments)-from < fanIn {
		return nil
	}
	return segments[from:]
}

// merge makes larger segments of small ones as long as there are many.
//
// The blocks of the new segment are written in several transactions, while it
// stands in the table garbage; the last of them puts it in the place of the
// old ones, which are garbage from then on. So a crash at any point leaves the
// segments as they were or as they will be, and something to clean.
func (x *Index) merge(ctx context.Context) error {
	for {
		if err := x.clean(ctx); err != nil {
			return err
		}
		old := ripe(x.state.Segments)
		if old == nil {
			return nil
		}
		if err := x.mergeSegments(ctx, old); err != nil {
			return err
		}
	}
}

func (x *Index) mergeSegments(ctx context.Context, old []segmentInfo) error {
	st := x.state
	st.Last++
	merged := segmentInfo{ID: st.Last, First: old[0].First, Next: old[len(old)-1].Next}
	st.Segments = append(slices.Clone(st.Segments[:len(st.Segments)-len(old)]), merged)
	if _, err := x.db.ExecContext(ctx, "INSERT INTO garbage VALUES (?)", int64(merged.ID)); err != nil {
		return err
	}
	m, err := newMerger(ctx, x, old)
	if err != nil {
		return err
	}
	w := newSegmentWriter(ctx, nil, merged.ID)
	for done := false; !done; {
		// A crash after the commit leaves blocks of a segment that is garbage.
		err := x.transaction(ctx, func(tx *sql.Tx) (err error) {
			m.db, w.db = tx, tx
			if done, err = m.run(ctx, w, w.n+x.step); err != nil || !done {
				return err
			}
			return x.swap(ctx, tx, w, &st, old)
		})
		if err != nil {
			return err
		}
	}
	x.state = st
	for _, s := range old {
		x.dirs.Delete(s.ID)
	}
	return nil
}

// swap puts the merged segment in the place of the old ones.
func (x *Index) swap(ctx context.Context, tx *sql.Tx, w *segmentWriter, st *state, old []segmentInfo) error {
	if err := w.finish(ctx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM garbage WHERE id = ?", int64(w.id)); err != nil {
		return err
	}
	for _, s := range old {
		if _, err := tx.ExecContext(ctx, "DELETE FROM segment WHERE id = ?", int64(s.ID)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO garbage VALUES (?)", int64(s.ID)); err != nil {
			return err
		}
	}
	return writeState(ctx, tx, st)
}

// clean deletes the blocks of segments that are not used any more. A crash
// leaves the rest for the next time.
func (x *Index) clean(ctx context.Context) error {
	for {
		var id int64
		err := x.db.QueryRowContext(ctx, "SELECT id FROM garbage LIMIT 1").Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		result, err := x.db.ExecContext(ctx, "DELETE FROM block WHERE id IN (SELECT id FROM block WHERE id >= ? AND id < ? LIMIT ?)",
			id<<blockBits, (id+1)<<blockBits, int64(4*x.step))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil {
			return err
		} else if n > 0 {
			continue
		}
		if _, err := x.db.ExecContext(ctx, "DELETE FROM garbage WHERE id = ?", id); err != nil {
			return err
		}
	}
}

// merger reads several segments in the order of terms.
type merger struct {
	db      querier
	sources []source
	entries []uint32
}

// source is one segment that is read to its end.
type source struct {
	blockReader
	id, n, blocks uint64
	offset        uint32 // of its first entry in the merged segment
	done          bool
}

func newMerger(ctx context.Context, x *Index, segments []segmentInfo) (*merger, error) {
	m := &merger{db: x.db}
	for _, s := range segments {
		dir, err := x.directory(ctx, x.db, s.ID)
		if err != nil {
			return nil, err
		}
		m.sources = append(m.sources, source{id: s.ID, blocks: uint64(len(dir)), offset: uint32(s.First - segments[0].First)})
		if err := m.sources[len(m.sources)-1].advance(ctx, m.db); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// advance goes to the next term of the segment.
func (s *source) advance(ctx context.Context, db querier) error {
	for {
		ok, err := s.next()
		if ok || err != nil {
			return err
		}
		if s.n == s.blocks {
			s.done = true
			return nil
		}
		data, err := blob(ctx, db, getBlock, s.id<<blockBits|s.n)
		if err != nil {
			return err
		}
		if s.blockReader, err = newBlockReader(data); err != nil {
			return err
		}
		s.n++
	}
}

// run merges until w has so many blocks, or all is done.
func (m *merger) run(ctx context.Context, w *segmentWriter, blocks uint64) (done bool, err error) {
	for w.n < blocks {
		least := -1
		for i := range m.sources {
			if s := &m.sources[i]; !s.done && (least < 0 || s.key.less(m.sources[least].key)) {
				least = i
			}
		}
		if least < 0 {
			return true, nil
		}
		k := m.sources[least].key
		m.entries = m.entries[:0]
		for i := least; i < len(m.sources); i++ {
			s := &m.sources[i]
			if s.done || s.key != k {
				continue
			}
			if err := s.entries(func(e uint32) { m.entries = append(m.entries, e+s.offset) }); err != nil {
				return false, err
			}
			if err := s.advance(ctx, m.db); err != nil {
				return false, err
			}
		}
		if err := w.add(k, m.entries); err != nil {
			return false, err
		}
	}
	return false, ctx.Err()
}
