package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// ManageResult is what a change of policy by the management interface came to.
type ManageResult struct {
	EntryID  string          `json:"entry_id"` // of the policy in force now
	Index    uint64          `json:"index"`
	Document json.RawMessage `json:"document"`
	Warnings []string        `json:"warnings,omitempty"`
}

// maxPolicy is how much of a document is read, in bytes: more than a policy
// may have, so that one that is too long is called that.
const maxPolicy = 2 * scitt.MaxEntrySize

// ManageHandler is the out-of-band management interface: who reaches it has
// been authenticated by how it is served, as root or the service's own user
// behind a Unix socket, or by a client certificate.
//
//	GET  /policy   the policy in force
//	POST /policy   register this document, signed by the service, and put it in force
//	GET  /keys     the keys that the log announced
//	POST /keys     register a keys statement: this one (application/cose), or one that the
//	               service signs for a [KeyChange] (application/json)
//
// The document's member "previous" may be left out: the service names the
// policy in force. When it is there it must be that one.
func (d *Daemon) ManageHandler() http.Handler {
	mux := http.NewServeMux()
	handle(d, mux, "/policy", func(*http.Request) (*ManageResult, error) { return d.managed(nil), nil }, d.setPolicy)
	handle(d, mux, "/keys", func(r *http.Request) (*KeysResult, error) { return d.managedKeys(r.Context()) }, d.setKeys)
	return content.Routed(mux)
}

// handle answers GET and POST of a resource.
func handle[T any](d *Daemon, mux *http.ServeMux, path string, get, post func(*http.Request) (*T, error)) {
	answer := func(h func(*http.Request) (*T, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			result, err := h(r)
			if err != nil {
				p := scitt.ProblemOf(err)
				if p == nil {
					d.Logger.ErrorContext(r.Context(), "management request failed", "err", err)
					p = &scitt.Problem{Status: http.StatusInternalServerError, Title: "Internal Error", Detail: err.Error()}
				}
				writeProblem(w, r, p.Status, p.Title, p.Detail)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(result) // the client is gone: nobody to tell
		}
	}
	mux.HandleFunc("GET "+path, answer(get))
	mux.HandleFunc("POST "+path, answer(post))
}

func (d *Daemon) managed(warnings []string) *ManageResult {
	p := d.InForce()
	return &ManageResult{EntryID: p.ID.String(), Index: p.Index, Document: p.Policy.Document(), Warnings: warnings}
}

// setPolicy signs a document as the service and registers it, as any other
// policy is registered.
func (d *Daemon) setPolicy(r *http.Request) (*ManageResult, error) {
	if d.replica() {
		return nil, d.log.ReadOnly()
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPolicy))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", scitt.ErrMalformed, err)
	}
	next, err := policy.Parse(body, d.options...)
	if err != nil {
		return nil, rejected(err)
	}
	document, err := next.Replacing(d.InForce().ID)
	if err != nil {
		return nil, err
	}
	st, err := d.founderNow().SignPolicy(document)
	if err != nil {
		return nil, err
	}
	if _, err := d.Register(r.Context(), st); err != nil {
		return nil, err
	}
	return d.managed(next.Warnings()), nil
}

func rejected(err error) error {
	if errors.Is(err, policy.ErrInvalid) {
		return &scitt.Problem{Status: http.StatusBadRequest, Title: "Rejected", Detail: err.Error()}
	}
	return err
}
