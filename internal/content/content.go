// Package content serves bytes over HTTP as http.ServeContent does, and has the form of
// refusals, of those of net/http too.
package content

import (
	"io"
	"net/http"
	"time"
)

// Serve answers GET and HEAD with the content, a range of it, or 304, as the
// request's preconditions say; the caller has set Content-Type, and ETag where
// there is one. It returns 0 then. Otherwise nothing has been sent, and it
// returns the status that the request gets: 412 (a precondition failed), 416
// (no such range) or 500 (the content has no size).
//
// A file goes to the connection without a copy in memory.
func Serve(w http.ResponseWriter, r *http.Request, modified time.Time, c io.ReadSeeker) (refused int) {
	a := &answer{ResponseWriter: w}
	before := w.Header().Clone()
	http.ServeContent(a, r, "", modified, c)
	if a.refused == 0 {
		return 0
	}
	// What was set is about the content, which is not sent.
	h := w.Header()
	if size := h.Get("Content-Range"); size != "" {
		before.Set("Content-Range", size)
	}
	clear(h)
	for name, values := range before {
		switch name {
		case "Content-Type", "Etag", "Cache-Control", "Content-Disposition", "Repr-Digest":
		default:
			h[name] = values
		}
	}
	return a.refused
}

// sendTimeout is how long a client may take to read what Send sends.
const sendTimeout = 30 * time.Second

// Send sends what is in memory and large, and does not wait long for a client that does
// not read it: nobody is left to tell.
func Send(w http.ResponseWriter, body []byte) {
	control := http.NewResponseController(w)
	// Without deadlines on w the server's own holds.
	_ = control.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, err := w.Write(body); err == nil && control.Flush() == nil {
		_ = control.SetWriteDeadline(time.Time{}) // for the next request
	}
}

// answer keeps refusals back.
type answer struct {
	http.ResponseWriter
	refused int
}

// WriteHeader sends the status, unless it refuses.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		a.refused = status
		return
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write sends content, and nothing of a refusal.
func (a *answer) Write(p []byte) (int, error) {
	if a.refused != 0 {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// ReadFrom has the connection send a file by itself, where it can.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(a.ResponseWriter, r)
}
