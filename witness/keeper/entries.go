package keeper

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

const (
	// mostPackages is how many packages of a request are taken; the client sends the
	// rest again. C2SP tlog-mirror: "clients SHOULD limit each add-entries request to at
	// most 32 entry packages (8192 entries)".
	mostPackages = 128
	// tooFarBelow is how many entries that are there already may be sent again.
	tooFarBelow = 32 * tiles.Width
)

// result is what add-entries answers when it refuses nothing.
type result struct {
	status int
	info   info   // with 202 and 409
	lines  []byte // with 200
}

// addEntries implements add-entries of C2SP tlog-mirror.
func (m *logMirror) addEntries(w http.ResponseWriter, r *http.Request) {
	// "When sending responses, mirrors SHOULD send an Accept-Encoding header".
	w.Header().Set("Accept-Encoding", "gzip")
	w.Header().Set("Cache-Control", "no-store")
	select {
	case m.uploads <- struct{}{}:
		defer func() { <-m.uploads }()
	default:
		cosigner.WriteRefusal(w, r, m.logger, &cosigner.Refusal{Status: http.StatusServiceUnavailable, Retry: time.Second, Err: errors.New("others upload")})
		return
	}
	body := io.Reader(r.Body)
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			cosigner.WriteRefusal(w, r, m.logger, cosigner.Refuse(http.StatusBadRequest, "gzip: %w", err))
			return
		}
		body = unzipped
	default:
		cosigner.WriteRefusal(w, r, m.logger, cosigner.Refuse(http.StatusUnsupportedMediaType, "the body is encoded in another way than gzip"))
		return
	}
	out, err := m.take(r.Context(), bufio.NewReader(body))
	switch {
	case err != nil:
		cosigner.WriteRefusal(w, r, m.logger, err)
	case out.status == http.StatusOK:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(out.lines) // the client is gone: nobody to tell
	default:
		w.Header().Set("Content-Type", infoMediaType)
		w.WriteHeader(out.status)
		_, _ = w.Write(out.info.marshal())
	}
}

// take takes the entries of an upload.
func (m *logMirror) take(ctx context.Context, body *bufio.Reader) (result, error) {
	u, err := readUpload(body)
	if err != nil {
		return result{}, cosigner.Refuse(http.StatusBadRequest, "%w", err)
	}
	if _, err := m.pending.Known(u.origin); err != nil {
		return result{}, err
	}
	k := m.of(u.origin)
	signed, own, err := m.target(ctx, u)
	if err != nil {
		return result{}, err
	}
	next, err := m.nextOf(ctx, k)
	if err != nil {
		return result{}, err
	}
	// "If upload_end is not the tree size of a known pending checkpoint value, or if it
	// is less than the mirror checkpoint's tree size, the mirror MUST respond with a
	// "409 Conflict"", and so "If upload_start is greater than the mirror's next entry,
	// or too far below".
	if signed == nil || u.end < own || u.start > next || u.start+tooFarBelow < next {
		return m.conflict(ctx, k, u, signed)
	}
	cp, _, err := scitt.OpenNote(signed)
	if err != nil {
		return result{}, err
	}
	saved, at := false, u.start
	for range mostPackages {
		if at == u.end {
			break
		}
		s := u.next(at)
		p, err := readParcel(body, int(s.end-s.start))
		if errors.Is(err, errUpload) && saved {
			break // "The mirror discards any partial bytes after the last successfully authenticated entry package."
		}
		if err != nil {
			return result{}, cosigner.Refuse(http.StatusBadRequest, "%w", err)
		}
		if err := k.save(ctx, s, p, cp); err != nil {
			return result{}, m.blame(ctx, k, err)
		}
		saved, at = true, s.end
	}
	if at < u.end {
		next, err := m.nextOf(ctx, k)
		return result{status: http.StatusAccepted, info: info{u.end, next, m.tickets.make(signed)}}, err
	}
	lines, err := m.commit(ctx, k, u, signed)
	if lines == nil && err == nil {
		return m.conflict(ctx, k, u, signed)
	}
	return result{status: http.StatusOK, lines: lines}, err
}

// target is the checkpoint of an upload, with the log's signatures: the pending one, the
// mirror's, or that of a ticket. It is nil when there is none of this size. Own is the
// size of the mirror's.
func (m *logMirror) target(ctx context.Context, u upload) (signed []byte, own uint64, err error) {
	pending, err := m.pending.State(ctx, u.origin)
	if err != nil {
		return nil, 0, err
	}
	mine, err := m.own.State(ctx, u.origin)
	if err != nil {
		return nil, 0, err
	}
	for _, state := range []cosigner.State{pending, mine} {
		if state.Text != nil && state.Size == u.end {
			return state.Signed(), mine.Size, nil
		}
	}
	if signed = m.tickets.open(u.ticket); signed != nil {
		if cp, _, err := scitt.OpenNote(signed); err == nil && cp.Origin == u.origin && cp.Size == u.end {
			return signed, mine.Size, nil
		}
	}
	return nil, mine.Size, nil
}

func (m *logMirror) nextOf(ctx context.Context, k *kept) (uint64, error) {
	if err := k.hold(ctx); err != nil {
		return 0, err
	}
	defer k.free()
	err := m.open(ctx, k)
	return k.next, err
}

// conflict says what the client may send. "If the client's upload_end value was valid,
// the first line SHOULD contain upload_end. [...] Otherwise, the first line SHOULD be
// the tree size of the current pending checkpoint."
func (m *logMirror) conflict(ctx context.Context, k *kept, u upload, signed []byte) (result, error) {
	pending, err := m.pending.State(ctx, u.origin)
	if err != nil {
		return result{}, err
	}
	own, err := m.own.State(ctx, u.origin)
	if err != nil {
		return result{}, err
	}
	next, err := m.nextOf(ctx, k)
	i := info{size: u.end, next: next}
	if signed == nil || u.end < own.Size {
		i.size, signed = pending.Size, pending.Signed()
	}
	if signed != nil {
		i.ticket = m.tickets.make(signed)
	}
	return result{status: http.StatusConflict, info: i}, err
}

// save authenticates a package and keeps its entries. A crash leaves the bundle
// before or this one; both are what the log has, and beyond the mirror checkpoint.
//
// C2SP tlog-mirror: "First, it reconstructs the subtree hash based on the received
// entries and entries already in the log. It then verifies the subtree consistency
// proof using this hash and the checkpoint at upload_end. If this verification
// process fails, it MUST respond with a "422 Unprocessable Entity"".
func (k *kept) save(ctx context.Context, s span, p parcel, cp *scitt.Checkpoint) error {
	if err := k.hold(ctx); err != nil {
		return err
	}
	defer k.free()
	if s.start > k.next { // another process of the log has begun anew meanwhile
		return cosigner.Refuse(http.StatusServiceUnavailable, "the entries before %d are not there any more", s.start)
	}
	var entries [][]byte
	if s.first < s.start {
		var err error
		if entries, err = tiles.ReadBundle(ctx, tiles.Dir(k.dir), s.first/tiles.Width, s.start); err != nil {
			return err
		}
	}
	entries = append(entries, p.entries...)
	var leaves [][]byte
	for _, e := range entries {
		leaves = append(leaves, scitt.LeafHash(e))
	}
	root, err := rootOf(leaves)
	if err != nil {
		return err
	}
	if err := proof.VerifySubtreeConsistency(rfc6962.DefaultHasher, s.first, s.end, cp.Size, p.proof, root, cp.Root); err != nil {
		return cosigner.Refuse(http.StatusUnprocessableEntity, "the entries [%d, %d) are not shown to be in the tree of size %d: %w", s.start, s.end, cp.Size, err)
	}
	if s.end <= k.next {
		return nil // "If some entry has already been written [...] the mirror MUST skip saving that entry."
	}
	path := tiles.BundlePath(s.first/tiles.Width, int(s.end-s.first))
	if _, err := durable.Replace(filepath.Join(k.dir, filepath.FromSlash(path)), appendBundle(nil, entries), 0o644); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	k.next = s.end
	return nil
}

// commit makes the entries a part of the log, and its checkpoint the mirror's. It returns
// no lines when that is larger. "Check if upload_end is still greater than or equal to
// the mirror checkpoint's tree size."
func (m *logMirror) commit(ctx context.Context, k *kept, u upload, signed []byte) (lines []byte, err error) {
	if err := k.hold(ctx); err != nil {
		return nil, err
	}
	defer k.free()
	// From here on the client's going away changes nothing.
	ctx = context.WithoutCancel(ctx)
	own, err := m.own.State(ctx, u.origin)
	if err != nil || u.end < own.Size || u.end > k.next {
		return nil, err
	}
	from := built{tiles.Dir(k.dir), own.Size}
	if k.broken {
		from.size = 0
	}
	lines, err = m.update(ctx, k, from, signed)
	return lines, m.suspect(ctx, k, own, checkEntries, err)
}
