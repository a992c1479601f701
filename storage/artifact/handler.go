package artifact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	uploadPath   = "/artifacts"
	batchPath    = "/artifacts/batch"
	artifactPath = "/artifacts/sha256/"
	defaultIdle  = time.Minute
)

// Config is what a handler needs. Store and Problem are required.
type Config struct {
	Store Store
	// Problem answers with the status and problem details (RFC 9290).
	Problem func(w http.ResponseWriter, r *http.Request, status int, title, detail string)
	// Write and Read hold the tokens for storing and for reading; nil lets
	// nobody. One does not include the other.
	Write, Read *Tokens
	// idle ends an upload from which no byte comes for so long, and a download of
	// which not even 32 KiB leave in it; a minute if zero. It takes the place of
	// the server's own timeouts, which would end large ones that do move.
	idle time.Duration
	// Log gets what was stored, by whom, and what failed; nil for nothing.
	Log *slog.Logger
}

// NewHandler serves
//
//	POST     /artifacts                 stores the body, of any content type: 201, or 200 if it was stored before
//	POST     /artifacts/batch           stores many small ones (docs/formats.md): 200 when all are stored
//	GET HEAD /artifacts/sha256/{hex}    the bytes, or one range of them
//
// Mount it at "/artifacts" and "/artifacts/". It panics with
// http.ErrAbortHandler, as net/http asks for, where an answer that has begun
// cannot be ended honestly.
func NewHandler(c Config) (http.Handler, error) {
	if c.Store == nil || c.Problem == nil {
		return nil, errors.New("artifact: a handler needs Store and Problem")
	}
	if c.idle == 0 {
		c.idle = defaultIdle
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &handler{c, make(chan struct{}, batchAtOnce)}, nil
}

type handler struct {
	Config
	batches chan struct{} // a place for each artifact of a batch that is being stored
}

// failure is an answer that is not a success.
type failure struct {
	status        int
	title, detail string
	err           error // for the log, if this side is at fault
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Receiving or checking an artifact may take longer than the server lets an
	// answer wait. No deadlines on w: then the server's timeouts hold.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	var f *failure
	switch hex, ok := strings.CutPrefix(r.URL.Path, artifactPath); {
	case r.URL.Path == uploadPath:
		f = h.only(w, r, h.post, http.MethodPost)
	case r.URL.Path == batchPath:
		f = h.only(w, r, h.postBatch, http.MethodPost)
	case ok:
		f = h.only(w, r, func(w http.ResponseWriter, r *http.Request) *failure {
			return h.get(w, r, hex)
		}, http.MethodGet, http.MethodHead)
	case strings.HasPrefix(r.URL.Path, uploadPath+"/"):
		f = badAddress()
	default:
		f = &failure{status: http.StatusNotFound, title: "Not Found", detail: "Artifacts are under /artifacts."}
	}
	if f == nil {
		return
	}
	if f.err != nil {
		h.Log.ErrorContext(r.Context(), "artifact request failed", "method", r.Method, "path", r.URL.Path, "err", f.err)
	}
	w.Header().Set("Cache-Control", "no-store")
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	h.Problem(w, r, f.status, f.title, f.detail)
}

// silent is the answer while a bucket says nothing.
func silent(err error) *failure {
	return &failure{status: http.StatusServiceUnavailable, title: "Storage Unavailable", detail: "The storage does not answer at this moment; try again.", err: err}
}

func badAddress() *failure {
	return &failure{status: http.StatusBadRequest, title: "Bad Artifact Address",
		detail: "The address is /artifacts/sha256/ and the SHA-256 in 64 lower case hex digits."}
}

// only calls next for the given methods.
func (h *handler) only(w http.ResponseWriter, r *http.Request, next func(http.ResponseWriter, *http.Request) *failure, methods ...string) *failure {
	for _, m := range methods {
		if r.Method == m {
			return next(w, r)
		}
	}
	allow := strings.Join(methods, ", ")
	w.Header().Set("Allow", allow)
	return &failure{status: http.StatusMethodNotAllowed, title: "Method Not Allowed", detail: "Use " + allow + " here."}
}

// authorize checks the bearer token (RFC 6750) and gives its holder's name. A
// token that is good for the other kind of access only is 403.
func (h *handler) authorize(w http.ResponseWriter, r *http.Request, need, other *Tokens, scope string) (holder string, f *failure) {
	if need != nil && need.without != nil && need.without(r) {
		return "", nil
	}
	const challenge = `Bearer realm="artifacts"`
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		w.Header().Set("WWW-Authenticate", challenge)
		return "", &failure{status: http.StatusUnauthorized, title: "Token Missing", detail: "Send Authorization: Bearer and a token that may " + scope + " artifacts."}
	}
	if name, ok := need.holder(token); ok {
		return name, nil
	}
	if _, ok := other.holder(token); ok {
		w.Header().Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+scope+`"`)
		return "", &failure{status: http.StatusForbidden, title: "Token Not Sufficient", detail: "This token may not " + scope + " artifacts."}
	}
	w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
	return "", &failure{status: http.StatusUnauthorized, title: "Token Not Valid", detail: "This token is not known here."}
}

// Readers serves next to whoever may read artifacts: what it answers tells of their
// content. Problem is as in [Config].
func Readers(read *Tokens, problem func(w http.ResponseWriter, r *http.Request, status int, title, detail string), next http.Handler) http.Handler {
	h := &handler{Config: Config{Read: read}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, f := h.authorize(w, r, h.Read, nil, "read"); f != nil {
			w.Header().Set("Cache-Control", "no-store")
			problem(w, r, f.status, f.title, f.detail)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// post stores the body.
func (h *handler) post(w http.ResponseWriter, r *http.Request) *failure {
	holder, f := h.authorize(w, r, h.Write, h.Read, "write")
	if f != nil {
		return f
	}
	want, f := announced(r)
	if f != nil {
		// RFC 7694 section 3: which codings would have been accepted.
		if f.status == http.StatusUnsupportedMediaType {
			w.Header().Set("Accept-Encoding", "identity")
		}
		return f
	}
	body := newUploadBody(w, r, h.idle)
	info, created, err := h.Store.Put(r.Context(), body, want)
	if err != nil {
		return putFailure(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	h.stored(r, info, created, holder)
	address := artifactPath + info.Digest.String()
	w.Header().Set("Location", address)
	// RFC 9530 section 3.1: Repr-Digest is about what Content-Location names, not
	// what Location names. Without it, it would be about the empty body.
	w.Header().Set("Content-Location", address)
	w.Header().Set("Repr-Digest", formatDigest(info.Digest))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
	return nil
}

// stored notes who stored what.
func (h *handler) stored(r *http.Request, info Info, created bool, holder string) {
	h.Log.InfoContext(r.Context(), "artifact stored", "sha256", info.Digest.String(), "size", info.Size, "created", created, "by", holder)
}

// announced is what the request's header says about its body. Digests in a
// trailer section are not read.
func announced(r *http.Request) (Want, *failure) {
	// The hash is that of the bytes as they come, so they must come as they are.
	if c := strings.Join(r.Header.Values("Content-Encoding"), ","); c != "" && !strings.EqualFold(c, "identity") {
		return Want{}, &failure{status: http.StatusUnsupportedMediaType, title: "Content Coding Not Supported",
			detail: "Send the artifact's own bytes, without Content-Encoding."}
	}
	want := Want{Size: max(r.ContentLength, 0)}
	for _, name := range []string{"Content-Digest", "Repr-Digest"} {
		d, err := parseDigestField(r.Header.Values(name))
		if err != nil {
			return Want{}, &failure{status: http.StatusBadRequest, title: "Bad Digest Field", detail: name + ": " + err.Error()}
		}
		if d == nil {
			continue
		}
		// Without a content coding both are about the same bytes.
		if want.Digest != nil && *want.Digest != *d {
			return Want{}, &failure{status: http.StatusBadRequest, title: "Digest Mismatch", detail: "Content-Digest and Repr-Digest contradict each other."}
		}
		want.Digest = d
	}
	return want, nil
}

// putFailure is the answer to an upload that was not stored.
func putFailure(err error) *failure {
	var limit *http.MaxBytesError
	_, cut := errors.AsType[*bodyError](err)
	switch {
	case errors.Is(err, ErrTooLarge), errors.As(err, &limit):
		return &failure{status: http.StatusRequestEntityTooLarge, title: "Artifact Too Large", detail: "The artifact is larger than this store takes."}
	case errors.Is(err, errSilent):
		return silent(fmt.Errorf("storing: %w", err))
	case errors.Is(err, ErrFull):
		return &failure{status: http.StatusInsufficientStorage, title: "Store Full", detail: "There is no room for this artifact.", err: err}
	case errors.Is(err, ErrMismatch):
		return &failure{status: http.StatusBadRequest, title: "Digest Mismatch", detail: "The body is not what Content-Digest or Repr-Digest announced."}
	case cut && errors.Is(err, os.ErrDeadlineExceeded):
		return &failure{status: http.StatusRequestTimeout, title: "Upload Stalled", detail: "No bytes came for too long; nothing was stored."}
	case cut, errors.Is(err, context.Canceled):
		return &failure{status: http.StatusBadRequest, title: "Upload Incomplete", detail: "The body ended early; nothing was stored."}
	case errors.Is(err, syscall.EROFS):
		return &failure{status: http.StatusServiceUnavailable, title: "Storage Read-Only", detail: "The disk cannot be written.", err: fmt.Errorf("storing: %w", err)}
	default:
		return &failure{status: http.StatusInternalServerError, title: "Storage Failed", detail: "The artifact could not be stored.", err: fmt.Errorf("storing: %w", err)}
	}
}
