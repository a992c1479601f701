package personality

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// postSequence registers a CBOR sequence (RFC 8742) of statements in its
// order, up to the first that cannot be registered. The answer is the sequence
// of their Receipts, and behind them the problem of that one, if there is one.
func (s *Service) postSequence(w http.ResponseWriter, r *http.Request) error {
	all, malformed, err := s.readSequence(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := s.waiting(r)
	defer cancel()
	done, failure := s.RegisterAll(ctx, all)
	if len(done) == 0 {
		return failure
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if done[0].Receipt == nil {
		if p := scitt.ProblemOf(failure); p != nil && p.RetryAfter > 0 {
			return failure
		}
		// The same request again finds out about a refusal again.
		h.Set("Retry-After", seconds(time.Second))
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	if failure == nil && malformed != nil {
		s.Metrics.registered(resultRefused)
		failure = malformed
	}
	var body []byte
	for _, reg := range done {
		body = append(body, reg.Receipt...)
	}
	if failure != nil {
		body = append(body, s.problemOf(r, failure).MarshalItem()...)
	}
	h.Set("Content-Type", mediaCBORSeq)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, err = w.Write(body)
	return ignoreGone(err)
}

var errPolicyInSequence = &scitt.Problem{Status: http.StatusBadRequest, Title: "Rejected",
	Detail: "a Registration Policy is not registered together with other statements: send it by itself"}

// readSequence reads statements up to the first that is malformed, or a policy. When that
// is the very first one, or there are none or too many, err says so.
func (s *Service) readSequence(w http.ResponseWriter, r *http.Request) (all []*scitt.Statement, malformed, err error) {
	body, err := readBody(r, scitt.MaxSequenceBytes)
	if err != nil {
		return nil, nil, err
	}
	items, malformed := scitt.SplitSequence(body)
	if len(items) > scitt.MaxSequence {
		return nil, nil, &scitt.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too Many Statements",
			Detail: fmt.Sprintf("the sequence has %d statements, and a request at most %d; send them in parts", len(items), scitt.MaxSequence)}
	}
	if p := s.limits.takeAll(r, len(items)); p != nil {
		return nil, nil, p
	}
	for _, item := range items {
		st, err := scitt.ParseStatement(item)
		if err == nil && st.Type == scitt.TypePolicy {
			err = errPolicyInSequence
		}
		if err != nil {
			malformed = err
			break
		}
		all = append(all, st)
	}
	if len(all) > 0 {
		return all, malformed, nil
	}
	if malformed == nil {
		malformed = fmt.Errorf("%w: the body is empty", scitt.ErrMalformed)
	}
	s.Metrics.registered(resultRefused)
	return nil, nil, malformed
}
