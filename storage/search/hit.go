package search

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// fullPage is how many bytes of JSON end a page before it has all the entries that were
// asked for: anybody may have subjects of 64 KiB registered, and clients read answers of 4 MiB.
const fullPage = 3 << 20

// hits reads what the answer shows of each entry, up to a full page.
func (s *search) hits(ctx context.Context, page []cursor) ([]Hit, error) {
	hits := make([]Hit, 0, len(page))
	if len(page) == 0 {
		return hits, nil
	}
	service, err := s.service(ctx)
	if err != nil {
		return nil, err
	}
	one, err := s.tx.PrepareContext(ctx, `SELECT hit.id, common.hit, subject, iat, time, seq, artifact,
		coalesce((SELECT policy.id FROM policy WHERE policy.idx < hit.idx ORDER BY policy.idx DESC LIMIT 1), '')
		FROM hit JOIN common ON common.id = common WHERE idx = ?`)
	if err != nil {
		return nil, err
	}
	defer one.Close()
	size := 0
	for _, c := range page {
		hit, err := readHit(one.QueryRowContext(ctx, int64(c.index)))
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("%w: it has nothing of entry %d", ErrDamaged, c.index)
		}
		if err != nil {
			return nil, err
		}
		hit.Index = c.index
		if service != "" {
			hit.Receipt = service + "/entries/" + cmp.Or(hit.Entry, strconv.FormatUint(hit.Index, 10))
		}
		hits = append(hits, hit)
		shown, err := json.Marshal(hit)
		if size += len(shown); err != nil || size >= fullPage {
			return hits, err
		}
	}
	return hits, nil
}

func readHit(row *sql.Row) (h Hit, err error) {
	var id, artifact []byte
	var common, subject, policy string
	var iat int64
	var time, seq *int64
	if err := row.Scan(&id, &common, &subject, &iat, &time, &seq, &artifact, &policy); err != nil {
		return h, err
	}
	if err := json.Unmarshal([]byte(common), &h); err != nil {
		return h, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	h.Entry, h.Subject, h.IssuedAt, h.Time, h.Policy, h.Artifact = hex.EncodeToString(id), subject, iat, time, policy, hex.EncodeToString(artifact)
	if h.Chain != nil && seq != nil {
		h.Chain.Seq = uint64(*seq)
	}
	return h, nil
}

// service is the URL of the log's Transparency Service, or "".
func (s *search) service(ctx context.Context) (url string, err error) {
	if s.x.Service != "" {
		return s.x.Service, nil
	}
	err = s.tx.QueryRowContext(ctx, "SELECT value FROM setting WHERE name = 'service'").Scan(&url)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return url, err
}
