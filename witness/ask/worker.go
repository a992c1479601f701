package ask

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

const (
	// maxAnswer bounds the body of an answer: a dozen lines of ML-DSA-44.
	maxAnswer = 64 << 10
	// maxSkew is how far a cosignature's time may be from this machine's.
	maxSkew = 5 * time.Minute
)

// worker asks the witnesses at one URL, with one request at a time.
type worker struct {
	*Witnesses
	url   string
	names []string
	keys  []note.Verifier
	wake  chan struct{}
	old   uint64 // size that was cosigned last, as far as it is known; used by run alone

	// Guarded by the mutex of Witnesses.
	asking     *target   // the request that is on its way
	answered   *target   // that it cosigned last
	answeredAt time.Time // when it did
	failures   int       // one after the other
	retryAt    time.Time // when it is asked again after a failure
	err        error     // the last failure
}

// addCheckpoint is the address of the call below a submission prefix.
func addCheckpoint(prefix string) (string, error) {
	u, err := url.Parse(prefix)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not the URL of a witness's submission prefix", prefix)
	}
	return u.JoinPath("add-checkpoint").String(), nil
}

func (of *worker) awake() {
	select {
	case of.wake <- struct{}{}:
	default: // it will look
	}
}

// mayAnswer reports whether a cosignature may still come for a target, without a
// pause before; when it is met, from a witness that did not fail last.
func (of *worker) mayAnswer(t *target, met bool) bool {
	if of.answered == t || of.target != t || met && of.failures > 0 {
		return false
	}
	return of.asking != nil || !time.Now().Before(of.retryAt)
}

// next gives the target to ask for now, or else when to look again.
func (of *worker) next() (t *target, wait time.Duration) {
	of.mu.Lock()
	defer of.mu.Unlock()
	now := time.Now()
	due := of.retryAt
	if refresh := of.answeredAt.Add(refreshEvery); of.answered == of.target && due.Before(refresh) {
		due = refresh
	}
	switch {
	case of.target == nil:
		return nil, math.MaxInt64
	case now.Before(due):
		return nil, due.Sub(now)
	}
	of.asking = of.target
	return of.target, 0
}

func (of *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		t, wait := of.next()
		if t != nil {
			lines, err := of.ask(ctx, t)
			if ctx.Err() == nil {
				of.done(t, lines, err)
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-of.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// done notes what came of a request.
func (of *worker) done(t *target, lines []note.Signature, err error) {
	of.mu.Lock()
	defer of.mu.Unlock()
	before := of.err
	of.asking, of.err = nil, err
	if err == nil {
		of.answered, of.answeredAt, of.failures, of.retryAt = t, time.Now(), 0, time.Time{}
		of.came(t, lines)
	} else {
		of.retryAt = time.Now().Add(min(longestPause, shortestPause<<min(of.failures, 10)))
		of.failures++
	}
	switch {
	case err != nil && before == nil:
		of.Logger.Warn("a witness did not cosign; it is asked again", "witness", strings.Join(of.names, ", "), "url", of.url, "err", err)
	case err == nil && before != nil:
		of.Logger.Info("a witness cosigns again", "witness", strings.Join(of.names, ", "))
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// ask makes a request, and one more when the witness says what it cosigned last.
func (of *worker) ask(ctx context.Context, t *target) ([]note.Signature, error) {
	ctx, cancel := context.WithTimeout(ctx, of.Timeout)
	defer cancel()
	size := t.view.Checkpoint.Size
	if of.old > size {
		of.old = 0 // which the answer corrects
	}
	for again := true; ; again = false {
		status, answer, err := of.post(ctx, t)
		if err != nil {
			return nil, err
		}
		switch status {
		case http.StatusOK:
			lines, err := of.read(t, answer)
			if err == nil {
				of.old = size
			}
			return lines, err
		case http.StatusConflict:
			seen, err := parseSize(answer)
			if err != nil {
				return nil, err
			}
			if seen > size || !again {
				return nil, fmt.Errorf("it says that it cosigned %d entries, and it was asked for %d", seen, size)
			}
			of.old = seen
		case http.StatusNotFound:
			return nil, fmt.Errorf("%d: it does not know this log; whoever runs it has to add %s", status, of.vkey)
		default:
			if p, err := scitt.ParseProblem(status, answer); err == nil {
				answer = []byte(p.Detail) // one of ours
			}
			return nil, fmt.Errorf("it answered %d: %.200q", status, bytes.TrimSpace(answer))
		}
	}
}

// parseSize reads the body of a 409.
//
// C2SP tlog-witness: it "MUST consist of the tree size of the latest cosigned
// checkpoint in decimal, followed by a newline".
func parseSize(answer []byte) (uint64, error) {
	line, ended := strings.CutSuffix(string(answer), "\n")
	size, err := witness.ParseSize(line)
	if err != nil || !ended || size > math.MaxInt64 {
		return 0, fmt.Errorf("it answered 409 without the size that it cosigned: %.40q", answer)
	}
	return size, nil
}

// post sends add-checkpoint.
func (of *worker) post(ctx context.Context, t *target) (status int, answer []byte, err error) {
	path, err := t.view.ConsistencyProof(ctx, of.old)
	if err != nil {
		return 0, nil, fmt.Errorf("the proof for it: %w", err)
	}
	body := (&witness.AddCheckpoint{Old: of.old, Proof: path, Checkpoint: t.view.Checkpoint.Raw}).Marshal()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, of.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := of.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("its answer has more than %d bytes", maxAnswer)
	}
	return resp.StatusCode, answer, err
}

// read reads the signature lines of an answer. They count one by one: those of
// keys that are not of this URL are ignored, and all others must be cosignatures
// of this checkpoint, of now.
//
// C2SP tlog-witness: "The client MUST ignore any cosignatures from unknown keys";
// "the timestamp MUST NOT be zero".
func (of *worker) read(t *target, answer []byte) (lines []note.Signature, err error) {
	for line := range strings.Lines(string(answer)) {
		_, sigs, err := scitt.OpenNote([]byte(t.view.Checkpoint.Body()+"\n"+line), of.keys...)
		if err != nil {
			return nil, fmt.Errorf("a line of its answer: %w", err)
		}
		for _, s := range sigs {
			at, err := scitt.CosignatureTime(s)
			if err != nil {
				return nil, err
			}
			if off := time.Until(at); at.IsZero() || off.Abs() > maxSkew {
				return nil, fmt.Errorf("its cosignature is of %s and here it is %s: an old one, or one of the two clocks is wrong", at.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
			}
			lines = append(lines, s)
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("its answer has no cosignature by its keys: one that judges the log has to know its URL (log add --contact URL VKEY), to read its tiles there; " +
			"the key of a mirror signs only what is public already, and readers can demand it")
	}
	return lines, nil
}
