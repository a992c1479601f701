package search

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/storage/internal/projection"
)

// Count is how many entries have a key.
type Count struct {
	Key     string `json:"key"`
	Entries int64  `json:"entries"`
}

const (
	// maxCounts is how many keys of each kind Stats lists, and maxList how many bytes they may have.
	maxCounts, maxList = 1000, 512 << 10
	// maxKey is how many bytes of a key are shown.
	maxKey = 1 << 10
)

// Stats is the log in numbers. Each list has the most frequent keys first, at
// most a thousand and half a MiB, of which those over 1 KiB are cut; the list of days
// has the last ones, in order.
type Stats struct {
	Checkpoint Checkpoint `json:"checkpoint"`
	Indexed    uint64     `json:"indexed"`
	Issuers    []Count    `json:"issuers"`
	Classes    []Count    `json:"class_uids"`
	EventCodes []Count    `json:"event_codes"`
	// Days are those of the event time, or without one of iat, in UTC; the key
	// is "" for entries that have neither.
	Days []Count `json:"days"`
}

// Stats counts the entries under the checkpoint that it names.
func (x *Index) Stats(ctx context.Context) (*Stats, error) {
	out := &Stats{}
	err := x.reading(ctx, func(tx *sql.Tx) error {
		st, err := projection.ReadState(ctx, tx)
		if err != nil {
			return err
		}
		out.Checkpoint, out.Indexed = Checkpoint{st.Origin, st.Size, st.Root}, st.Next
		for kind, list := range map[string]*[]Count{
			countIssuer: &out.Issuers, countClass: &out.Classes, countEventCode: &out.EventCodes, countDay: &out.Days,
		} {
			if *list, err = listCounts(ctx, tx, kind); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("search: stats: %w", err)
	}
	return out, nil
}

func listCounts(ctx context.Context, tx *sql.Tx, kind string) ([]Count, error) {
	query := "SELECT key, n FROM stat WHERE kind = ? AND n > 0 ORDER BY n DESC, key LIMIT ?"
	if kind == countDay {
		query = "SELECT key, n FROM (SELECT key, n FROM stat WHERE kind = ? AND n > 0 ORDER BY key DESC LIMIT ?) ORDER BY key"
	}
	rows, err := tx.QueryContext(ctx, query, kind, maxCounts)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Count{}
	for size := 0; rows.Next() && size < maxList; size += len(list[len(list)-1].Key) {
		var c Count
		if err := rows.Scan(&c.Key, &c.Entries); err != nil {
			return nil, err
		}
		c.Key = jsonx.Cut(c.Key, maxKey)
		list = append(list, c)
	}
	return list, rows.Err()
}

// counts are how many entries there are of each kind and key.
type counts map[[2]string]int64

// Kinds of counts.
const (
	countIssuer    = "issuer"
	countClass     = "class_uid"
	countEventCode = "event_code"
	countDay       = "day"
)

func (c counts) add(d *document) {
	c[[2]string{countIssuer, d.Issuer}]++
	c[[2]string{countDay, d.day()}]++
	if d.ClassUID != nil {
		c[[2]string{countClass, strconv.FormatInt(*d.ClassUID, 10)}]++
	}
	if d.EventCode != "" {
		c[[2]string{countEventCode, d.EventCode}]++
	}
}

// put adds the counts to the stored ones: to those of the checkpoint when
// these entries complete it, else to those that wait for it.
func (c counts) put(ctx context.Context, tx *sql.Tx, complete bool) error {
	// In one order, so that two rebuilt files have the same pages.
	keys := make([][2]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	add, err := tx.PrepareContext(ctx, `INSERT INTO stat VALUES (?, ?, 0, ?)
		ON CONFLICT (kind, key) DO UPDATE SET pending = pending + excluded.pending`)
	if err != nil {
		return err
	}
	defer add.Close()
	for _, k := range keys {
		if _, err := add.ExecContext(ctx, k[0], k[1], c[k]); err != nil {
			return err
		}
	}
	if complete {
		_, err = tx.ExecContext(ctx, "UPDATE stat SET n = n + pending, pending = 0 WHERE pending > 0")
	}
	return err
}
