package search

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// contentState says what of an entry's payload can be found.
type contentState string

// What became of a payload.
const (
	contentJSON      contentState = "json"
	contentCBOR      contentState = "cbor"
	contentText      contentState = "text"
	contentOther     contentState = "other"              // of another media type, or none
	contentMalformed contentState = "malformed"          // not what its media type says, or nested too deeply
	contentMissing   contentState = "artifact-missing"   // the artifact was not stored when the entry was indexed
	contentTooLarge  contentState = "artifact-too-large" // the artifact is larger than MaxArtifact
	contentForeign   contentState = "no-statement"       // the entry is no Signed Statement
)

// maxArtifact is the size in bytes up to which artifacts are read.
const maxArtifact = 1 << 20

// chain is a record's place in its issuer's chain.
type chain struct {
	Name string `json:"name"`
	Seq  uint64 `json:"seq"`
}

// Hit is an entry in an answer: what the index knows of it.
type Hit struct {
	Entry       string       `json:"entry"` // entry id, hexadecimal; "" where the bytes have none
	Index       uint64       `json:"index"`
	Issuer      string       `json:"issuer,omitempty"`
	Subject     string       `json:"subject,omitempty"`
	KeyID       string       `json:"kid,omitempty"` // hexadecimal
	Type        string       `json:"typ,omitempty"`
	ContentType string       `json:"content_type,omitempty"`
	IssuedAt    int64        `json:"iat,omitempty"` // seconds since 1970
	Chain       *chain       `json:"chain,omitempty"`
	Artifact    string       `json:"artifact,omitempty"` // the digest that a hash envelope signs, hexadecimal
	Policy      string       `json:"policy,omitempty"`   // the entry id of the Registration Policy in force
	ClassUID    *int64       `json:"class_uid,omitempty"`
	ActivityID  *int64       `json:"activity_id,omitempty"`
	EventCode   string       `json:"event_code,omitempty"`
	Time        *int64       `json:"time,omitempty"` // event time, milliseconds since 1970
	Content     contentState `json:"content"`
	Receipt     string       `json:"receipt,omitempty"` // URL

	// Standing and DuplicateOf are what who verifies an answer finds; an index
	// that sets them says more than it can know. See VerifyHits and Verify.
	Standing    Standing `json:"standing,omitempty"`
	DuplicateOf *uint64  `json:"duplicate_of,omitempty"` // index
}

// document is one entry as it is indexed.
type document struct {
	Hit
	id       scitt.EntryID
	isPolicy bool
	// what is stored of it: see store.go
	text, common string
	numbers      []number
	// how it stands, when it is verified
	standing    Standing
	duplicateOf *uint64
}

// noTime stands for the event time of an entry that has none.
const noTime = math.MinInt64

func (h *Hit) time() int64 {
	if h.Time == nil {
		return noTime
	}
	return *h.Time
}

// day is when the event was, or without one the statement issued: a day in
// UTC, or "".
func (h *Hit) day() string {
	t := time.Unix(h.IssuedAt, 0)
	switch {
	case h.Time != nil:
		t = time.UnixMilli(*h.Time)
	case h.IssuedAt == 0:
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// read takes an entry apart and gives out all that can be found in it. The
// policy in force is not known here.
func read(ctx context.Context, index uint64, entry []byte, artifacts reader.Artifacts, out emitter) (*document, error) {
	d := &document{}
	d.Index = index
	s, err := scitt.DecodeStatement(entry)
	if id, ok := scitt.EntryIDOf(entry); ok {
		d.id = id
		d.Entry = d.id.String()
		out.term(kindEntry, "", view(d.id[:]))
	}
	if err != nil {
		d.Content = contentForeign // another kind of log may hold anything
		return d, nil
	}
	d.header(s, out)
	content, err := d.content(ctx, s, artifacts)
	if err != nil {
		return nil, fmt.Errorf("search: artifact of entry %d: %w", index, err)
	}
	d.payload(content, out)
	d.event(out)
	return d, nil
}

func (d *document) header(s *scitt.Statement, out emitter) {
	d.Issuer, d.Subject, d.Type, d.ContentType, d.IssuedAt = s.Issuer, s.Subject, s.Type, s.ContentType, s.IssuedAt
	d.KeyID = hex.EncodeToString(s.KeyID)
	d.isPolicy = s.Type == scitt.TypePolicy
	for _, t := range []struct {
		kind  kind
		value string
	}{
		{kindIssuer, s.Issuer}, {kindSubject, s.Subject}, {kindKeyID, view(s.KeyID)},
		{kindType, s.Type}, {kindContentType, s.ContentType},
	} {
		if t.value != "" {
			out.term(t.kind, "", t.value)
		}
	}
	eachWord(s.Subject, func(w string) { out.term(kindWord, "", w) })
	if c := s.Chain; c != nil {
		d.Chain = &chain{c.Name, c.Seq}
		t := chainTerm(c.Name, c.Seq)
		out.term(kindChain, "", c.Name)
		out.term(t.kind, t.path, t.value)
	}
	if s.Envelope != nil && s.Payload != nil {
		d.Artifact = hex.EncodeToString(s.Payload)
		out.term(kindArtifact, "", view(s.Payload))
	}
}

// content is the bytes that the statement speaks of, nil when they are not to
// be had.
func (d *document) content(ctx context.Context, s *scitt.Statement, artifacts reader.Artifacts) ([]byte, error) {
	if s.Envelope == nil {
		d.Content = format(s.ContentType, s.Payload)
		return s.Payload, nil
	}
	d.Content = contentMissing
	if artifacts == nil || len(s.Payload) != 32 {
		return nil, nil
	}
	content, err := artifacts.Artifact(ctx, reader.Digest(s.Payload), maxArtifact)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, reader.ErrWrong), errors.Is(err, reader.ErrPrivate), errors.Is(err, reader.ErrUnread):
		return nil, nil // what is damaged, or for others, will not come by itself, and one that cannot be read must not hold up the index
	case errors.Is(err, reader.ErrTooLarge):
		d.Content = contentTooLarge
		return nil, nil
	case err != nil:
		return nil, err
	}
	if ok, err := s.PayloadMatches(content); err != nil || !ok {
		return nil, nil // not this artifact: as if it were not there
	}
	d.Content = format(s.ContentType, content)
	return content, nil
}

// format says how content of a media type is read. Numbers are CoAP
// Content-Formats (RFC 7252 section 12.3, RFC 8949 section 9.4).
func format(mediaType string, content []byte) contentState {
	t, _, _ := strings.Cut(mediaType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	switch {
	case t == "application/json", t == "50", strings.HasSuffix(t, "+json"):
		return contentJSON
	case t == "application/cbor", t == "60", strings.HasSuffix(t, "+cbor"):
		return contentCBOR
	case strings.HasPrefix(t, "text/"), t == "0":
		return contentText
	case t == "" && bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("{")):
		return contentJSON
	}
	return contentOther
}

func (d *document) payload(content []byte, out emitter) {
	l := &leaves{out: out, doc: d}
	var err error
	switch d.Content {
	case contentJSON:
		err = readJSON(content, l)
	case contentCBOR:
		err = readCBOR(content, l)
	case contentText:
		if !utf8.Valid(content) {
			err = errPayload
			break
		}
		eachWord(view(content), l.word)
	}
	if err != nil {
		d.Content = contentMalformed
	}
}

// event gives out what an OCSF event says of itself.
func (d *document) event(out emitter) {
	if d.ClassUID != nil {
		out.term(kindClass, "", strconv.FormatInt(*d.ClassUID, 10))
	}
	if d.EventCode != "" {
		out.term(kindEventCode, "", d.EventCode)
	}
	if d.Time != nil {
		out.number(kindEventTime, "", float64(*d.Time))
	}
}
