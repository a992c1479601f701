package index

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/projection"
)

// chainKey names a chain: every issuer has its own names.
type chainKey struct{ issuer, name string }

// special is what the index keeps of an entry beyond its place.
type special struct {
	table string // of statements of its type; "" for none
	chain *chainKey
	seq   uint64
	given string
}

const (
	tableEntry = "entry"
	tableChain = "chain"
	// The tables of statements of one type.
	tablePolicy = "policy"
	tableKeys   = "keys"
)

// The words that an entry contains when it is a policy or the log's keys, or part of
// a chain. Most entries contain none, and are not decoded.
var (
	policyWord = []byte(scitt.TypePolicy)
	keysWord   = []byte(scitt.TypeKeys)
	// The label as CBOR text: with the shortest length, or with one of the
	// longer ones, which end in the same byte and which an issuer may write.
	chainWord  = []byte("\x65chain")
	chainWords = []byte("\x05chain")
)

// specialOf decodes an entry that may be special; most are not, and give nil.
func specialOf(entry []byte) *special {
	if !bytes.Contains(entry, policyWord) && !bytes.Contains(entry, keysWord) && !bytes.Contains(entry, chainWord) && !bytes.Contains(entry, chainWords) {
		return nil
	}
	s, err := scitt.DecodeStatement(entry)
	if err != nil {
		return nil
	}
	x := &special{table: map[string]string{scitt.TypePolicy: tablePolicy, scitt.TypeKeys: tableKeys}[s.Type]}
	if s.Chain != nil {
		x.chain, x.seq, x.given = &chainKey{s.Issuer, s.Chain.Name}, s.Chain.Seq, s.GivenChain()
	}
	return x
}

// ChainHead is the last sequenced entry of an issuer's chain.
func (x *Index) ChainHead(ctx context.Context, issuer, name string) (scitt.Head, bool, error) {
	x.mu.RLock()
	head, ok := x.heads[chainKey{issuer, name}]
	x.mu.RUnlock()
	if ok {
		return head, true, nil
	}
	err := x.Use(ctx, func(db *sql.DB) (err error) {
		head, err = headOf(ctx, db, chainKey{issuer, name})
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return scitt.Head{}, false, nil
	}
	if err != nil {
		return scitt.Head{}, false, unavailable(err)
	}
	return head, true, nil
}

// headOf reads the head of a chain from the database, or from one transaction of it.
func headOf(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, key chainKey) (scitt.Head, error) {
	var idx, seq int64
	var id, given []byte
	err := db.QueryRowContext(ctx, "SELECT idx, id, seq, given FROM chain WHERE issuer = ? AND name = ?", key.issuer, key.name).Scan(&idx, &id, &seq, &given)
	if err == nil && len(id) != len(scitt.EntryID{}) {
		err = fmt.Errorf("%w: the head of a chain has an id of %d bytes", projection.ErrDamaged, len(id))
	}
	if err != nil {
		return scitt.Head{}, err
	}
	return scitt.Head{Index: uint64(idx), ID: scitt.EntryID(id), Seq: uint64(seq), Given: string(given)}, nil
}

// Extend makes a sequenced statement the head of its chain before the
// follower has read it back. Statements of one chain are given in order.
func (x *Index) Extend(s *scitt.Statement, index uint64) {
	if s.Chain == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	key := chainKey{s.Issuer, s.Chain.Name}
	if index < x.Next() { // the database has it already, and what was before it may still be here
		delete(x.heads, key)
		return
	}
	x.heads[key] = scitt.NewHead(s, index)
}

// insertSpecial stores policies, keys and the heads of chains; rows come in the
// order of the log.
func (d *digest) insertSpecial(ctx context.Context, tx *sql.Tx, rows []row) error {
	heads := map[chainKey]row{}
	for _, r := range rows {
		if r.special == nil {
			continue
		}
		if r.special.table != "" {
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO "+r.special.table+" VALUES (?)", int64(r.place.Index)); err != nil {
				return err
			}
			d.toggle(r.special.table, int64(r.place.Index), 0)
		}
		if r.special.chain != nil {
			heads[*r.special.chain] = r
		}
	}
	for key, r := range heads {
		switch old, err := headOf(ctx, tx, key); {
		case err == nil:
			d.head(key, &old)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		d.head(key, &scitt.Head{Index: r.place.Index, ID: r.id, Seq: r.special.seq, Given: r.special.given})
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO chain VALUES (?,?,?,?,?,?)",
			key.issuer, key.name, int64(r.place.Index), r.id[:], int64(r.special.seq), []byte(r.special.given))
		if err != nil {
			return err
		}
	}
	return nil
}

// forget drops what is now in the database. The caller holds mu.
func (x *Index) forget(rows []row, next uint64) {
	for _, r := range rows {
		delete(x.pending, r.id)
		if r.special != nil && r.special.chain != nil && x.heads[*r.special.chain].Index < next {
			delete(x.heads, *r.special.chain)
		}
	}
}
