package personality

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
)

const (
	mediaCOSE    = "application/cose"
	mediaCBOR    = "application/cbor"
	mediaCBORSeq = "application/cbor-seq"
)

// exposed are the header fields that a script of another origin may read,
// beyond those that it always may.
const exposed = "Location, Link, Retry-After, ETag, Content-Range, Content-Encoding, Allow"

// handler answers a request or says why it cannot.
type handler func(w http.ResponseWriter, r *http.Request) error

// Handler serves SCRAPI, the Entry API and the static files.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	dynamic := func(pattern string, h handler) { mux.Handle(pattern, s.serve(s.limited(h))) }
	static := func(pattern string, h handler) { mux.Handle(pattern, s.serve(h)) }

	dynamic("POST /entries", s.handOn(s.postEntry))
	dynamic("GET /entries", s.listEntries)
	dynamic("GET /entries/{id}", s.askOn(s.getReceipt))
	dynamic("GET /entries/{id}/statement", s.askOn(s.getStatement))
	dynamic("GET /entries/{id}/proof", s.askOn(s.getProof))
	static("GET /.well-known/scitt-keys", s.getKeys)
	static("GET /.well-known/scitt-keys/{kid}", s.getKey)
	static("GET /.well-known/transparency-configuration", s.getConfiguration)
	static("GET /checkpoint", s.getCheckpoint)
	static("GET /tile/", s.askOn(s.static.get))
	static("GET /{$}", s.getHome)

	for path, adjacent := range s.Adjacent {
		limited := s.serve(s.limited(func(w http.ResponseWriter, r *http.Request) error {
			adjacent.ServeHTTP(w, r)
			return nil
		}))
		mux.Handle(path, limited)
		mux.Handle(path+"/", limited)
	}
	routed := content.Routed(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", exposed)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodOptions {
			preflight(w)
			return
		}
		// The redirect that ServeMux would send does not have the path of a proxy.
		if clean := cleanPath(r.URL.Path); clean != r.URL.Path {
			w.Header().Set("Location", s.Issuer+(&url.URL{Path: clean, RawQuery: r.URL.RawQuery}).String())
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		routed.ServeHTTP(w, r)
	})
}

// cleanPath is a path without empty elements and dots.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

func preflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Accept, Prefer, Range, If-None-Match, Authorization")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Service) limited(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if p := s.limits.take(r); p != nil {
			return p
		}
		return h(w, r)
	}
}

// handOn has the log's writer answer, where that is another instance.
func (s *Service) handOn(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if writer := s.writer.Load(); writer != nil {
			(*writer).ServeHTTP(w, r)
			return nil
		}
		return h(w, r)
	}
}

// askOn has the log's writer answer what another instance does not know, not yet, or
// cannot read. So 404, which is final for a client, comes from the writer only.
func (s *Service) askOn(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		if p := scitt.ProblemOf(err); p != nil && (p.Status == http.StatusNotFound || p.Status == http.StatusServiceUnavailable && !errors.Is(err, scitt.ErrBusy)) {
			return s.handOn(func(http.ResponseWriter, *http.Request) error { return err })(w, r)
		}
		return err
	}
}

func (s *Service) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.writeError(w, r, err)
		}
	})
}

// writeError is the one place where an error becomes an answer.
func (s *Service) writeError(w http.ResponseWriter, r *http.Request, err error) {
	content.Problem(w, s.problemOf(r, err))
}

// problemOf says how an error is told to the client, and tells the operator of
// those that are the service's own.
func (s *Service) problemOf(r *http.Request, err error) *scitt.Problem {
	p := scitt.ProblemOf(err)
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		p = tooLarge(e.Limit)
	}
	if p == nil {
		s.Logger.ErrorContext(r.Context(), "request failed", "client", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "err", err)
		return &scitt.Problem{Status: http.StatusInternalServerError, Title: "Internal Error", Detail: "the service failed; its log says why"}
	}
	if p.Status >= 500 {
		shown := *p
		shown.Detail = s.hidden.replace(p.Detail)
		p = &shown
		s.Logger.WarnContext(r.Context(), "request not served", "client", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "err", err)
	}
	return p
}

func tooLarge(limit int64) *scitt.Problem {
	p := &scitt.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Statement Too Large",
		Detail: fmt.Sprintf("the request body is larger than %d bytes; sign the SHA-256 of the content as an RFC 9995 hash envelope", limit)}
	if limit == scitt.MaxSequenceBytes {
		p.Title, p.Detail = "Too Many Statements", fmt.Sprintf("the sequence of statements is larger than %d bytes; send it in parts", limit)
	}
	return p
}

// postEntry registers a statement (SCRAPI section 2.3), or a sequence of them.
func (s *Service) postEntry(w http.ResponseWriter, r *http.Request) error {
	if err := s.gate.refusal(); err != nil { // before the body is read
		s.Metrics.registered(resultBusy)
		return err
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media == mediaCBORSeq {
		return s.postSequence(w, r)
	}
	body, err := s.readBody(r, maxBody)
	if err != nil {
		return err
	}
	defer body.done()
	st, err := scitt.ParseStatement(body.data)
	if err != nil {
		s.Metrics.registered(resultRefused)
		return err
	}
	ctx, cancel := s.waiting(r)
	defer cancel()
	reg, err := s.Register(ctx, st)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Location", s.location(reg.ID))
	h.Set("Cache-Control", "no-store")
	if reg.Receipt == nil {
		content.RetryAfter(h, time.Second)
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	h.Set("Content-Type", mediaCOSE)
	w.WriteHeader(http.StatusCreated)
	_, err = w.Write(reg.Receipt)
	return ignoreGone(err)
}

// ignoreGone: an answer that cannot be delivered is the client's loss, and a
// second answer could not be delivered either.
func ignoreGone(error) error { return nil }

func (s *Service) location(id scitt.EntryID) string { return s.Issuer + "/entries/" + id.String() }
