package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// get answers GET and HEAD of one artifact.
func (h *handler) get(w http.ResponseWriter, r *http.Request, hex string) *failure {
	if _, f := h.authorize(w, r, h.Read, h.Write, "read"); f != nil {
		return f
	}
	digest, err := reader.ParseDigest(hex)
	if err != nil {
		return badAddress()
	}
	stored, _, err := h.Store.Open(r.Context(), digest)
	switch {
	case err == nil:
	case errors.Is(err, ErrNotFound):
		return &failure{status: http.StatusNotFound, title: "Artifact Not Found", detail: "No artifact with this SHA-256 is stored here."}
	case errors.Is(err, ErrCorrupt):
		return &failure{status: http.StatusInternalServerError, title: reader.TitleDamaged, detail: "The stored bytes do not match the SHA-256; they are not given out.", err: err}
	case errors.Is(err, errSilent):
		return silent(fmt.Errorf("reading: %w", err))
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler) // nobody is left to answer
	default:
		return &failure{status: http.StatusInternalServerError, title: "Storage Failed", detail: "The artifact could not be read.", err: fmt.Errorf("reading: %w", err)}
	}
	defer stored.Close()

	header := w.Header()
	header.Set("ETag", `"`+digest.String()+`"`)
	header.Set("Repr-Digest", formatDigest(digest))
	header.Set("Cache-Control", h.caching())
	// Whatever an uploader sent, no browser shows it as part of this site.
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", "attachment")

	// RFC 9110 section 14.2 lets a server ignore Range. A set of ranges is of no
	// use for a blob, and many small ones would have a chunk hashed for each.
	if strings.Contains(strings.Join(r.Header.Values("Range"), ","), ",") {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	d := &download{ResponseWriter: w, control: http.NewResponseController(w), idle: h.idle}
	source := &watched{ReadSeeker: stored}
	switch refused := content.Serve(d, r, time.Time{}, source); {
	case refused == http.StatusRequestedRangeNotSatisfiable:
		return &failure{status: refused, title: "Range Not Satisfiable", detail: "Ask for one range of bytes that the artifact has."}
	case refused != 0:
		return &failure{status: refused, title: http.StatusText(refused), err: source.err}
	}
	if source.err != nil {
		h.Log.ErrorContext(r.Context(), "artifact cut off while sending", "path", r.URL.Path, "err", source.err)
		// The status is sent. Breaking the connection is what tells the client that
		// the bytes are not all there.
		panic(http.ErrAbortHandler)
	}
	d.finish()
	return nil
}

// caching is for ever, because the address is the hash; shared caches keep it
// only if everybody may read.
func (h *handler) caching() string {
	if h.Read.public {
		return "public, max-age=31536000, immutable"
	}
	return "private, max-age=31536000, immutable"
}

// watched remembers the error that ended reading.
type watched struct {
	io.ReadSeeker
	err error
}

func (s *watched) Read(p []byte) (int, error) {
	n, err := s.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// download gives each write the idle time.
type download struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
}

func (d *download) Write(p []byte) (int, error) {
	d.extend(time.Now().Add(d.idle))
	return d.ResponseWriter.Write(p)
}

// finish sends what is buffered while the deadline still holds, and lifts it for
// the next request on the connection.
func (d *download) finish() {
	if d.control.Flush() == nil {
		d.extend(time.Time{})
	}
}

// extend is without effect on a ResponseWriter without deadlines: then the
// server's own timeouts hold.
func (d *download) extend(t time.Time) {
	_ = d.control.SetWriteDeadline(t)
}

// bodyError is an error of the client's side of an upload.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// uploadBody is a request's body that must keep moving.
type uploadBody struct {
	body    io.Reader
	control *http.ResponseController
	idle    time.Duration
}

func newUploadBody(w http.ResponseWriter, r *http.Request, idle time.Duration) *uploadBody {
	return &uploadBody{body: r.Body, control: http.NewResponseController(w), idle: idle}
}

func (b *uploadBody) Read(p []byte) (int, error) {
	b.extend(time.Now().Add(b.idle))
	n, err := b.body.Read(p)
	switch err {
	case nil:
		return n, nil
	case io.EOF:
		// From here the server watches the connection for the client's leaving. That
		// must not run into the deadline while the bytes are synced.
		b.extend(time.Time{})
		return n, io.EOF
	default:
		return n, &bodyError{err}
	}
}

// extend is without effect on a ResponseWriter without deadlines.
func (b *uploadBody) extend(t time.Time) {
	_ = b.control.SetReadDeadline(t)
}
