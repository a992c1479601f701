package personality

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
)

// postSequence registers a CBOR sequence (RFC 8742) of statements in its
// order, up to the first that cannot be registered. The answer is the sequence
// of their Receipts, and behind them the problem of that one, if there is one.
func (s *Service) postSequence(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readBody(r, scitt.MaxSequenceBytes)
	if err != nil {
		return err
	}
	defer body.done()
	all, malformed, err := s.parseSequence(r, body.data)
	if err != nil {
		return err
	}
	ctx, cancel := s.waiting(r)
	defer cancel()
	done, failure := s.register(ctx, all, nil)
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
		content.RetryAfter(h, time.Second)
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	if failure == nil && malformed != nil {
		s.Metrics.registered(resultRefused)
		failure = malformed
	}
	var receipts []byte
	for _, reg := range done {
		receipts = append(receipts, reg.Receipt...)
	}
	if failure != nil {
		receipts = append(receipts, s.problemOf(r, failure).MarshalItem()...)
	}
	h.Set("Content-Type", mediaCBORSeq)
	h.Set("Content-Length", strconv.Itoa(len(receipts)))
	content.Send(w, receipts)
	return nil
}

var errPolicyInSequence = &scitt.Problem{Status: http.StatusBadRequest, Title: "Rejected",
	Detail: "a Registration Policy is not registered together with other statements: send it by itself"}

// parseSequence parses statements up to the first that is malformed, or a policy. When that
// is the very first one, or there are none or too many, err says so.
func (s *Service) parseSequence(r *http.Request, body []byte) (all []*scitt.Statement, malformed, err error) {
	items, malformed := scitt.SplitSequence(body)
	if len(items) > scitt.MaxSequence {
		return nil, nil, &scitt.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too Many Statements",
			Detail: fmt.Sprintf("the sequence has more than %d statements; send them in parts", scitt.MaxSequence)}
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
