package personality

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/transparency-dev/formats/proof"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// resolved is an entry that is published.
type resolved struct {
	index uint64
	leaf  []byte
	view  *tiles.View
}

// resolve finds the entry that {id} names: an entry id, or the decimal index
// of a leaf. While the entry is not published it answers 204 itself, and ok
// is false.
func (s *Service) resolve(w http.ResponseWriter, r *http.Request) (e resolved, ok bool, err error) {
	ctx, name := r.Context(), r.PathValue("id")
	if index, isIndex := parseIndex(name); isIndex {
		view := s.Log.Published()
		if index >= view.Checkpoint.Size {
			return e, false, notFound(name)
		}
		leaf, err := view.LeafHash(ctx, index)
		return resolved{index, leaf, view}, true, err
	}
	id, err := scitt.ParseEntryID(name)
	if err != nil {
		return e, false, &scitt.Problem{Status: http.StatusBadRequest, Title: "Invalid locator",
			Detail: fmt.Sprintf("%.200q is neither an entry id (64 lowercase hexadecimal characters) nor a leaf index", name)}
	}
	e.index, e.leaf, e.view, err = s.place(ctx, id)
	if errors.Is(err, errRunning) {
		// SCRAPI section 2.4.2.
		content.RetryAfter(w.Header(), time.Second)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return e, false, nil
	}
	return e, err == nil, err
}

// parseIndex reads a decimal leaf index without leading zeros.
func parseIndex(s string) (uint64, bool) {
	if len(s) > 19 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

// locate gives the entry's URL. Of an index it has to read the entry.
func (s *Service) locate(r *http.Request, e resolved) (string, error) {
	if id, err := scitt.ParseEntryID(r.PathValue("id")); err == nil {
		return s.location(id), nil
	}
	entry, err := e.view.Entry(r.Context(), e.index)
	if err != nil {
		return "", err
	}
	return s.entryLocation(e.index, entry), nil
}

// entryLocation is the URL of an entry: by its id, or by its index when it is
// not a statement's.
func (s *Service) entryLocation(index uint64, entry []byte) string {
	if id, ok := scitt.EntryIDOf(entry); ok {
		return s.location(id)
	}
	return fmt.Sprintf("%s/entries/%d", s.Issuer, index)
}

// getReceipt resolves a Receipt (SCRAPI section 2.4).
func (s *Service) getReceipt(w http.ResponseWriter, r *http.Request) error {
	e, ok, err := s.resolve(w, r)
	if !ok {
		return err
	}
	receipt, err := e.view.Receipt(r.Context(), e.index, e.leaf)
	if err != nil {
		return err
	}
	location, err := s.locate(r, e)
	if err != nil {
		return err
	}
	return respond(w, mediaCOSE, location, receipt)
}

// getStatement gives the Transparent Statement: the entry with its Receipt, and the one by
// the log's ML-DSA-44 key where it has one.
func (s *Service) getStatement(w http.ResponseWriter, r *http.Request) error {
	e, ok, err := s.resolve(w, r)
	if !ok {
		return err
	}
	entry, err := e.view.Entry(r.Context(), e.index)
	if err != nil {
		return err
	}
	receipts, err := e.view.Receipts(r.Context(), e.index, e.leaf)
	if err != nil {
		return err
	}
	transparent, err := transparentStatement(e.index, entry, receipts...)
	if err != nil {
		return err
	}
	return respond(w, mediaCOSE, s.entryLocation(e.index, entry), transparent)
}

func transparentStatement(index uint64, entry []byte, receipts ...[]byte) ([]byte, error) {
	st, err := scitt.DecodeStatement(entry)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return scitt.AttachReceipts(st, receipts...), nil
}

// getProof gives the same proof as a C2SP tlog-proof.
func (s *Service) getProof(w http.ResponseWriter, r *http.Request) error {
	e, ok, err := s.resolve(w, r)
	if !ok {
		return err
	}
	inclusion, err := e.view.Inclusion(r.Context(), e.index, e.leaf)
	if err != nil {
		return err
	}
	location, err := s.locate(r, e)
	if err != nil {
		return err
	}
	p := proof.TLogProof{Index: e.index, Checkpoint: e.view.Checkpoint.Raw}
	for _, h := range inclusion.Path {
		p.Hashes = append(p.Hashes, [32]byte(h))
	}
	return respond(w, "text/plain; charset=utf-8", location, p.Marshal())
}

func respond(w http.ResponseWriter, mediaType, location string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Location", location)
	// A Receipt stays true; a fresh one is as good.
	h.Set("Cache-Control", "public, max-age=60")
	_, err := w.Write(body)
	return ignoreGone(err)
}

const (
	defaultPage = 100
	maxPage     = 1000
	// fullPage is how many bytes end a page before it has all the entries that
	// were asked for: a thousand of the largest would be 64 MiB. Clients read answers of 4 MiB.
	fullPage = 3 << 20
	// mostPages are made or sent at a time: a page is in memory.
	mostPages = 32
)

// listEntries gives Transparent Statements in the order of the log: the Entry
// API's "one or more entries", as a CBOR sequence (RFC 8742). All of a page
// have Receipts of one checkpoint. A page has at most limit entries; the link
// to the next one says where it goes on.
func (s *Service) listEntries(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	from, err := queryNumber(query, "from", 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := queryNumber(query, "limit", defaultPage, maxPage)
	if err != nil {
		return err
	}
	if limit == 0 {
		return badParameter("limit", "it is a number from 1 to %d", maxPage)
	}
	select {
	case s.pages <- struct{}{}:
		defer func() { <-s.pages }()
	default:
		return &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Service Busy", RetryAfter: time.Second,
			Detail: fmt.Sprintf("%d pages of entries are being sent; come again, or read the log's static files", mostPages)}
	}
	view := s.Log.Published()
	to := min(view.Checkpoint.Size, from+limit)
	next := from
	var body []byte
	for e, err := range view.Entries(r.Context(), from, to) {
		if err != nil {
			return err
		}
		receipt, err := view.Receipt(r.Context(), e.Index, scitt.LeafHash(e.Data))
		if err != nil {
			return err
		}
		transparent, err := transparentStatement(e.Index, e.Data, receipt)
		if err != nil {
			return err
		}
		body = append(body, transparent...)
		if next++; len(body) >= fullPage {
			break
		}
	}
	h := w.Header()
	if next > from && next < view.Checkpoint.Size {
		h.Set("Link", fmt.Sprintf(`<%s/entries?from=%d&limit=%d>; rel="next"`, s.Issuer, next, limit))
	}
	h.Set("Content-Type", mediaCBORSeq)
	h.Set("Cache-Control", "no-cache")
	content.Send(w, body)
	return nil
}

func queryNumber(query url.Values, name string, def, highest uint64) (uint64, error) {
	v := query.Get(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n > highest {
		return 0, badParameter(name, "it is a number from 0 to %d", highest)
	}
	return n, nil
}

func badParameter(name, format string, args ...any) error {
	return &scitt.Problem{Status: http.StatusBadRequest, Title: "Malformed request",
		Detail: fmt.Sprintf("parameter %q: ", name) + fmt.Sprintf(format, args...)}
}

// getKeys publishes the keys of Receipts (SCRAPI section 2.1).
func (s *Service) getKeys(w http.ResponseWriter, r *http.Request) error {
	set, err := s.ShownKeys().Receipt.Marshal()
	if err != nil {
		return err
	}
	return s.publish(w, r, mediaCBOR, set)
}

// getKey publishes one key (SCRAPI section 2.2): "For every kid value used by
// the service, this resource MUST accept the base64url encoding of the kid
// value, without padding". The kids here are thumbprints, 32 bytes; as raw
// bytes none of them is safe in a URL unless all of them happen to be, and
// then its 32 characters are no base64url of another 32 bytes.
func (s *Service) getKey(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("kid")
	set := s.ShownKeys().Receipt
	keys, err := set.Find([]byte(name))
	if err != nil {
		id, decodeErr := base64.RawURLEncoding.Strict().DecodeString(name)
		if decodeErr == nil {
			keys, err = set.Find(id)
		}
	}
	if err != nil {
		return &scitt.Problem{Status: http.StatusNotFound, Title: "No such key", Detail: "No key could be found for this kid value"}
	}
	body, err := keys[0].Marshal() // the service gives each key a kid of its own
	if err != nil {
		return err
	}
	return s.publish(w, r, mediaCBOR, body)
}
