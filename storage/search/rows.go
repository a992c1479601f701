package search

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
)

// Rows are what answers show of 64 entries at a time:
//
//	rows   = inverted crc32c(4) strings *( row )
//	string = uvarint(length) bytes;  strings = uvarint(number) *( string )
//	row    = *12( uvarint(string) ) iat activity
//
// The numbers of class and time are text like the rest, as "" when absent:
// most rows of a block share their strings.
const (
	rowsPerBlock  = 64
	timesPerBlock = 4096
)

// columns are the members of a Hit in the order in which they are stored.
// Index and Receipt are not stored.
func (h *Hit) columns() [14]string {
	c := [14]string{h.Entry, h.Issuer, h.Subject, h.KeyID, h.Type, h.ContentType, h.Artifact, h.Policy, h.EventCode, string(h.Content),
		optional(h.ClassUID), optional(h.ActivityID), optional(h.Time), strconv.FormatInt(h.IssuedAt, 10)}
	return c
}

func optional(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// appendRows writes rows. The strings of each are columns, and the chain's
// name and number.
func encodeRows(rows [][]string) []byte {
	index := map[string]uint64{}
	var strings, refs []byte
	for _, row := range rows {
		for _, s := range row {
			at, ok := index[s]
			if !ok {
				at = uint64(len(index))
				index[s] = at
				strings = binary.AppendUvarint(strings, uint64(len(s)))
				strings = append(strings, s...)
			}
			refs = binary.AppendUvarint(refs, at)
		}
	}
	b := make([]byte, 4, 16+len(strings)+len(refs))
	b = binary.AppendUvarint(b, uint64(len(index)))
	b = append(b, strings...)
	return seal(append(b, refs...))
}

const rowWidth = 16

func (h *Hit) row() []string {
	c := h.columns()
	row := append(make([]string, 0, rowWidth), c[:]...)
	if h.Chain == nil {
		return append(row, "", "")
	}
	return append(row, h.Chain.Name, strconv.FormatUint(h.Chain.Seq, 10))
}

func decodeRows(data []byte) (rows [][]string, err error) {
	if data, err = unseal(data); err != nil {
		return nil, err
	}
	r := blockReader{data: data}
	n := r.uvarint()
	if n > uint64(len(data)) {
		return nil, ErrDamaged
	}
	strings := make([]string, n)
	for i := range strings {
		size := r.uvarint()
		if size > uint64(len(r.data)) {
			return nil, ErrDamaged
		}
		strings[i] = string(r.data[:size])
		r.data = r.data[size:]
	}
	for len(r.data) > 0 {
		row := make([]string, rowWidth)
		for i := range row {
			at := r.uvarint()
			if at >= n {
				return nil, ErrDamaged
			}
			row[i] = strings[at]
		}
		rows = append(rows, row)
	}
	if r.data == nil {
		return nil, ErrDamaged
	}
	return rows, nil
}

func hitOf(index uint64, c []string) Hit {
	h := Hit{Index: index, Entry: c[0], Issuer: c[1], Subject: c[2], KeyID: c[3], Type: c[4], ContentType: c[5],
		Artifact: c[6], Policy: c[7], EventCode: c[8], Content: Content(c[9]),
		ClassUID: number(c[10]), ActivityID: number(c[11]), Time: number(c[12])}
	if iat := number(c[13]); iat != nil {
		h.IssuedAt = *iat
	}
	if c[15] != "" {
		seq, _ := strconv.ParseUint(c[15], 10, 64) // written by row
		h.Chain = &Chain{c[14], seq}
	}
	return h
}

func number(s string) *int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// putRows stores consecutive entries behind those that are there.
func putRows(ctx context.Context, tx querier, docs []*document) error {
	var rows [][]string
	at := docs[0].Index
	if tail := at % rowsPerBlock; tail > 0 {
		data, err := blob(ctx, tx, "SELECT data FROM row WHERE n = ?", at/rowsPerBlock)
		if err != nil {
			return err
		}
		if rows, err = decodeRows(data); err != nil || uint64(len(rows)) < tail {
			return ErrDamaged
		}
		rows = rows[:tail]
	}
	for i, d := range docs {
		rows = append(rows, d.row())
		if len(rows) == rowsPerBlock || i == len(docs)-1 {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO row VALUES (?, ?)", int64(d.Index/rowsPerBlock), encodeRows(rows)); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return nil
}

// encodeTimes writes event times as differences.
func encodeTimes(times []int64) []byte {
	b := make([]byte, 4, 4+3*len(times))
	last := int64(0)
	for _, t := range times {
		if t == noTime {
			b = append(b, 0)
			continue
		}
		// Event times fit 53 bits: there is room for the mark.
		b = binary.AppendUvarint(b, 1+zigzag(t-last))
		last = t
	}
	return seal(b)
}

func zigzag(n int64) uint64 { return uint64(n<<1) ^ uint64(n>>63) }

func decodeTimes(data []byte) ([]int64, error) {
	data, err := unseal(data)
	if err != nil {
		return nil, err
	}
	times := make([]int64, 0, timesPerBlock)
	for last := int64(0); len(data) > 0; {
		var v uint64
		v, data = uvarint(data)
		switch {
		case data == nil:
			return nil, ErrDamaged
		case v == 0:
			times = append(times, noTime)
		default:
			v--
			last += int64(v>>1) ^ -int64(v&1)
			times = append(times, last)
		}
	}
	return times, nil
}

// putTimes stores the event times of consecutive entries.
func putTimes(ctx context.Context, tx querier, docs []*document) error {
	var times []int64
	at := docs[0].Index
	if tail := at % timesPerBlock; tail > 0 {
		var err error
		if times, err = readTimes(ctx, tx, at/timesPerBlock); err != nil || uint64(len(times)) < tail {
			return errors.Join(ErrDamaged, err)
		}
		times = times[:tail]
	}
	for i, d := range docs {
		times = append(times, d.time())
		if len(times) == timesPerBlock || i == len(docs)-1 {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO time VALUES (?, ?)", int64(d.Index/timesPerBlock), encodeTimes(times)); err != nil {
				return err
			}
			times = times[:0]
		}
	}
	return nil
}

func readTimes(ctx context.Context, db querier, n uint64) ([]int64, error) {
	data, err := blob(ctx, db, "SELECT data FROM time WHERE n = ?", n)
	if err != nil {
		return nil, err
	}
	return decodeTimes(data)
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
		c[[2]string{countClass, optional(d.ClassUID)}]++
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
