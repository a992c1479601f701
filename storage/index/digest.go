package index

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/projection"
	"github.com/conmotion/conmotion/tiles"
)

// digest is that of all rows. SQLite's own check finds pages that are malformed, and
// not a row that reads well and is another one: with one bit of an id changed the log
// would get that content twice. It is the XOR of the rows' hashes, so a row that comes
// or goes changes it without the others.
type digest uint64

// toggle puts a row in that was not there, or takes one out.
func (d *digest) toggle(table string, idx, number int64, fields ...[]byte) {
	b := make([]byte, 0, 128)
	b = append(append(b, table...), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(idx))
	b = binary.BigEndian.AppendUint64(b, uint64(number))
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	h := sha256.Sum256(b)
	*d ^= digest(binary.BigEndian.Uint64(h[:]))
}

func (d *digest) entry(id scitt.EntryID, p tiles.Place) {
	d.toggle(tableEntry, int64(p.Index), int64(p.Leaf), id[:])
}

func (d *digest) head(key chainKey, h *scitt.Head) {
	d.toggle(tableChain, int64(h.Index), int64(h.Seq), []byte(key.issuer), []byte(key.name), h.ID[:], []byte(h.Given))
}

// digestOf reads all rows.
func digestOf(ctx context.Context, db *sql.DB) (uint64, error) {
	var d digest
	for table, columns := range map[string]string{
		tableEntry: "idx, leaf, id", tablePolicy: "idx, 0", tableKeys: "idx, 0", tableChain: "idx, seq, issuer, name, id, given",
	} {
		if err := d.read(ctx, db, table, columns); err != nil {
			return 0, err
		}
	}
	return uint64(d), nil
}

func (d *digest) read(ctx context.Context, db *sql.DB, table, columns string) error {
	rows, err := db.QueryContext(ctx, "SELECT "+columns+" FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	var idx, number int64
	raw, fields := make([]sql.RawBytes, len(names)-2), make([][]byte, len(names)-2)
	to := []any{&idx, &number}
	for i := range raw {
		to = append(to, &raw[i])
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil { // a number that is none any more
			return errors.Join(projection.ErrDamaged, err)
		}
		for i := range raw {
			fields[i] = raw[i]
		}
		d.toggle(table, idx, number, fields...)
	}
	return rows.Err()
}
