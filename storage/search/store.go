package search

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/conmotion/conmotion/storage/internal/projection"
	"github.com/conmotion/conmotion/tiles"
)

const (
	rowsPerInsert = 32
	mostCommons   = 1 << 14 // that are remembered
)

// scratch are sets of tokens, for one entry at a time.
var scratch = sync.Pool{New: func() any { return map[string]struct{}{} }}

// parse reads an entry into what is stored of it.
func (x *Index) parse(ctx context.Context, e tiles.Entry, _ []byte) (*document, error) {
	seen := scratch.Get().(map[string]struct{})
	defer func() { clear(seen); scratch.Put(seen) }()
	t := &terms{secret: x.secret, seen: seen, text: make([]byte, 0, len(e.Data))}
	d, err := read(ctx, e.Index, e.Data, x.Artifacts, t)
	if err != nil {
		return nil, err
	}
	d.text, d.numbers = view(t.text), t.numbers
	c := d.Hit
	c.Entry, c.Index, c.Subject, c.IssuedAt, c.Time, c.Artifact = "", 0, "", 0, nil, ""
	if c.Chain != nil {
		c.Chain = &chain{Name: c.Chain.Name}
	}
	common, err := json.Marshal(c)
	d.common = string(common)
	return d, err
}

// store puts consecutive entries into the database.
func (x *Index) store(ctx context.Context, tx *sql.Tx, docs []*document, after *projection.State) error {
	// A context that can end costs a goroutine for each statement.
	row := context.WithoutCancel(ctx)
	stats := counts{}
	if x.storedNext != after.Next-uint64(len(docs)) {
		clear(x.commons) // the transaction before was undone
	}
	x.storedNext = after.Next
	// Row by row and before all else: FTS5 ends its segment where a statement
	// begins that inserts several rows, into whatever table.
	text, err := tx.PrepareContext(ctx, "INSERT INTO term (rowid, text) VALUES (?, ?)")
	if err != nil {
		return err
	}
	defer text.Close()
	for _, d := range docs {
		if _, err := text.ExecContext(row, int64(d.Index), d.text); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(docs, rowsPerInsert) {
		var hits []any
		for _, d := range part {
			common, err := x.commonOf(row, tx, d.common)
			if err != nil {
				return err
			}
			var seq, artifact any
			if d.Chain != nil {
				seq = int64(d.Chain.Seq)
			}
			if d.Artifact != "" {
				artifact, _ = hex.DecodeString(d.Artifact) // document made it
			}
			id := d.id[:]
			if d.Entry == "" {
				id = nil
			}
			hits = append(hits, int64(d.Index), append([]byte{}, id...), common, d.Subject, d.IssuedAt, d.Time, seq, artifact)
			stats.add(d)
		}
		values := ",(?,?,?,?,?,?,?,?)"
		if _, err := tx.ExecContext(row, "INSERT INTO hit VALUES "+strings.Repeat(values, len(part))[1:], hits...); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for _, d := range docs {
		if !d.isPolicy {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO policy VALUES (?, ?)", int64(d.Index), d.Entry); err != nil {
			return err
		}
	}
	if err := putNumbers(ctx, tx, docs); err != nil {
		return err
	}
	return stats.put(ctx, tx, after.Size == after.Next)
}

// commonOf is the number of what a hit has in common with others.
func (x *Index) commonOf(ctx context.Context, tx *sql.Tx, hit string) (id int64, err error) {
	if id, ok := x.commons[hit]; ok {
		return id, nil
	}
	err = tx.QueryRowContext(ctx, "SELECT id FROM common WHERE hit = ?", hit).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		var done sql.Result
		if done, err = tx.ExecContext(ctx, "INSERT INTO common (hit) VALUES (?)", hit); err == nil {
			id, err = done.LastInsertId()
		}
	}
	if err != nil {
		return 0, err
	}
	if len(x.commons) >= mostCommons {
		clear(x.commons)
	}
	x.commons[hit] = id
	return id, nil
}
