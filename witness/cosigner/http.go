package cosigner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// maxBody bounds a request in bytes.
//
// C2SP signed-note: verifiers "MUST accept at least up to 16 signatures. Remember
// that post-quantum signatures can be up to nearly 5kB in size."
const maxBody = 256 << 10

// Companion is another cosigner of the same operator, whose word says more than the
// witness's and has a key of its own.
type Companion interface {
	// Stored is called when the witness has cosigned a checkpoint of a log, which is the
	// note. Signature lines of it that are returned become a part of the answer; it does
	// not wait for long.
	Stored(ctx context.Context, origin string, note []byte) (lines []byte)
	// Routes adds what it serves.
	Routes(mux *http.ServeMux)
	// Observe adds its metrics.
	Observe(m metric.Meter) error
	// About tells a person what its cosignature says, and its keys.
	About() string
}

// handler serves a witness.
type handler struct {
	witness    *Witness
	companions []Companion
	requests   metric.Int64Counter
	duration   metric.Float64Histogram
}

// NewHandler serves C2SP tlog-witness: add-checkpoint, sign-subtree and the cosigned
// checkpoints, and a page about the witness. The paths are below the root, which is
// the prefix for submission and for monitoring. Companions have their own below it.
func NewHandler(w *Witness, m metric.Meter, companions ...Companion) (http.Handler, error) {
	h := &handler{witness: w, companions: companions}
	var err1, err2, err3 error
	h.requests, err1 = m.Int64Counter("conmotion.witness.requests",
		metric.WithDescription("Requests to the witness by call and status"))
	h.duration, err2 = m.Float64Histogram("conmotion.witness.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that a request took, by call"),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5))
	_, err3 = m.Int64ObservableGauge("conmotion.witness.logs", metric.WithDescription("Logs that are cosigned"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(w.Logs()))
			return nil
		}))
	_, err4 := m.Int64ObservableGauge("conmotion.witness.halted", metric.WithDescription("1 when nothing is signed any more, else 0: an alarm"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(min(len(w.Halted()), 1)))
			return nil
		}))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /add-checkpoint", h.call("add-checkpoint", func(r *http.Request, body []byte) ([]byte, error) {
		request, err := witness.ParseAddCheckpoint(body)
		if err != nil {
			return nil, &Refusal{Status: http.StatusBadRequest, Err: err}
		}
		lines, err := w.AddCheckpoint(r.Context(), request)
		if err != nil {
			return nil, err
		}
		origin := scitt.ClaimedOrigin(request.Checkpoint)
		for _, c := range companions {
			lines = append(lines[:len(lines):len(lines)], c.Stored(r.Context(), origin, request.Checkpoint)...)
		}
		return lines, nil
	}))
	mux.Handle("POST /sign-subtree", h.call("sign-subtree", func(_ *http.Request, body []byte) ([]byte, error) {
		request, err := witness.ParseSignSubtree(body)
		if err != nil {
			return nil, &Refusal{Status: http.StatusBadRequest, Err: err}
		}
		return w.signSubtree(request)
	}))
	mux.Handle("GET /{hash}/checkpoint", h.call("checkpoint", func(r *http.Request, _ []byte) ([]byte, error) {
		return w.Latest(r.Context(), r.PathValue("hash"))
	}))
	mux.HandleFunc("GET /{$}", h.home)
	for _, c := range companions {
		if err := c.Observe(m); err != nil {
			return nil, err
		}
		c.Routes(mux)
	}
	routed := content.Routed(mux)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodOptions {
			rw.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
			rw.Header().Set("Access-Control-Allow-Headers", "Content-Type")
			rw.Header().Set("Access-Control-Max-Age", "86400")
			rw.WriteHeader(http.StatusNoContent)
			return
		}
		routed.ServeHTTP(rw, r)
	}), nil
}

// call answers with what a function makes of a request's body.
func (h *handler) call(name string, do func(r *http.Request, body []byte) ([]byte, error)) http.Handler {
	call := attribute.String("call", name)
	duration := metric.WithAttributeSet(attribute.NewSet(call))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, status := time.Now(), http.StatusOK
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var answer []byte
		switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
		case tooLarge:
			err = refuse(http.StatusRequestEntityTooLarge, "the request has more than %d bytes", maxBody)
		case err != nil:
			err = &Refusal{Status: http.StatusBadRequest, Err: err}
		default:
			answer, err = do(r, body)
		}
		if err != nil {
			status = WriteRefusal(w, r, h.witness.logger, err)
		} else {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			if r.Method == http.MethodPost {
				w.Header().Set("Cache-Control", "no-store")
			} else {
				w.Header().Set("Cache-Control", "public, max-age=5")
			}
			_, _ = w.Write(answer) // the client is gone: nobody to tell
		}
		h.requests.Add(r.Context(), 1, metric.WithAttributes(call, attribute.Int("status", status)))
		h.duration.Record(r.Context(), time.Since(start).Seconds(), duration)
	})
}

// WriteRefusal answers with a [Refusal], and with 500 to another error. That one is for
// the log alone: it may name what is the operator's, such as files.
func WriteRefusal(w http.ResponseWriter, r *http.Request, logger *slog.Logger, err error) (status int) {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		logger.ErrorContext(r.Context(), "request failed", "client", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "err", err)
		refusal = refuse(http.StatusInternalServerError, "the witness failed; its log says why")
	}
	if refusal.Status != http.StatusConflict {
		content.Problem(w, &scitt.Problem{Status: refusal.Status, Title: http.StatusText(refusal.Status), Detail: refusal.Error(), RetryAfter: refusal.Retry})
		return refusal.Status
	}
	// C2SP tlog-witness: "The response body MUST consist of the tree size of the
	// latest cosigned checkpoint in decimal, followed by a newline (U+000A). The
	// response MUST have a Content-Type of text/x.tlog.size."
	w.Header().Set("Content-Type", witness.SizeMediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(refusal.Status)
	fmt.Fprintln(w, refusal.Size)
	return refusal.Status
}

// home tells a person what this is.
func (h *handler) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "This is %s, a witness of transparency logs (https://c2sp.org/tlog-witness).\n"+
		"Its cosignature on a checkpoint says: at this time, this was the largest tree that\n"+
		"it had seen of the log, and all that it had seen before is a part of it.\n\n%s\n\n%s known.\n",
		h.witness.Name(), strings.Join(h.witness.VKeys(), "\n"), plural.Verb(h.witness.Logs(), "log", "is", "are"))
	for _, c := range h.companions {
		fmt.Fprintf(w, "\n%s", c.About())
	}
	if h.witness.Halted() != "" {
		fmt.Fprintln(w, "\nIt signs nothing any more.")
	}
}
