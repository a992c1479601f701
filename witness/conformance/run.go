// Package conformance checks from outside whether a server is a witness (C2SP
// tlog-witness): which statuses it answers, what is in its bodies, and that it
// cosigns one history of a log whatever is asked of it, and how often at once.
//
// It needs logs that the witness knows and nobody else uses: see [NewLog]. It signs
// two histories of each.
package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// Target is the witness that is checked.
type Target struct {
	Submission, Monitoring string // URL prefixes, without a slash at the end
	Keys                   []*scitt.CosignatureVerifier
	HTTP                   *http.Client
	// Restart ends the witness and starts it again; nil when it cannot be.
	Restart func(context.Context) error
}

// Level is how much a rule binds (RFC 2119).
type Level string

// Levels of rules.
const (
	Must     Level = "MUST"
	should   Level = "SHOULD"
	optional Level = "OPTIONAL"
)

// Result is what a check found.
type Result struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Rule  string `json:"rule"` // of C2SP tlog-witness, or of the specification that is named
	// Deviates is what the witness did otherwise, "" for nothing.
	Deviates string `json:"deviates,omitempty"`
	// Skipped is why the check said nothing, "" where it did.
	Skipped string `json:"skipped,omitempty"`
}

// errSkip is wrapped when a check cannot be made.
var errSkip = errors.New("not checked")

func skip(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errSkip, fmt.Errorf(format, args...))
}

// Run makes all checks. It uses one of the logs for each, at most [LogsNeeded]; the
// witness knows them and has cosigned none. The error says that the witness could
// not be asked.
func Run(ctx context.Context, target Target, logs []*Log) (results []Result, err error) {
	if len(target.Keys) == 0 {
		return nil, errors.New("the keys of the witness are needed")
	}
	if len(logs) < LogsNeeded {
		return nil, fmt.Errorf("%d logs are needed, and there are %d", LogsNeeded, len(logs))
	}
	for i, c := range checks {
		s := &session{Target: target, log: logs[i]}
		r := Result{Check: c.name, Level: c.level, Rule: c.rule}
		err := c.run(ctx, s)
		switch {
		case errors.Is(err, errAsk) || ctx.Err() != nil:
			return results, fmt.Errorf("%s: %w", c.name, errors.Join(err, ctx.Err()))
		case errors.Is(err, errSkip):
			r.Skipped = strings.TrimPrefix(err.Error(), errSkip.Error()+": ")
		case err != nil:
			r.Deviates = err.Error()
		}
		results = append(results, r)
	}
	return results, nil
}

// session is what a check has: the witness, and a log that only this check uses.
type session struct {
	Target
	log *Log
}

// answer is what the witness said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %.120q", a.status, a.body)
}

// errAsk is wrapped when the witness did not answer.
var errAsk = errors.New("the witness does not answer")

// maxAnswer bounds an answer in bytes.
const maxAnswer = 1 << 20

func (s *session) ask(ctx context.Context, method, url string, body []byte) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := s.HTTP.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAsk, err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAsk, err)
	}
	return &answer{response.StatusCode, response.Header, got}, nil
}

func (s *session) post(ctx context.Context, call string, body []byte) (*answer, error) {
	return s.ask(ctx, http.MethodPost, s.Submission+"/"+call, body)
}

// want asks add-checkpoint with bytes and reports another status than these.
func (s *session) want(ctx context.Context, what string, body []byte, statuses ...int) error {
	a, err := s.post(ctx, "add-checkpoint", body)
	if err != nil {
		return err
	}
	return a.want(what, statuses...)
}

func (a *answer) want(what string, statuses ...int) error {
	for _, status := range statuses {
		if a.status == status {
			return nil
		}
	}
	return fmt.Errorf("%s: %v, want %s", what, a, strings.ReplaceAll(strings.Trim(fmt.Sprint(statuses), "[]"), " ", " or "))
}

// cosign has a checkpoint cosigned and holds the answer to the rules.
func (s *session) cosign(ctx context.Context, r *witness.AddCheckpoint) ([]note.Signature, error) {
	a, err := s.post(ctx, "add-checkpoint", r.Marshal())
	if err != nil {
		return nil, err
	}
	if err := a.want("a good request", http.StatusOK); err != nil {
		return nil, err
	}
	return s.lines(r.Checkpoint, a.body)
}

// lines are the cosignatures of a checkpoint in an answer. All of it must be
// signature lines with a time, and one of a known key.
func (s *session) lines(checkpoint, body []byte) ([]note.Signature, error) {
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "— ") || !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("the answer has %.80q, which is not a signature line", line)
		}
	}
	text := checkpoint[:bytes.LastIndex(checkpoint, []byte("\n\n"))+1]
	sigs, err := cosigned(text, body, s.Keys)
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if len(sigs) == 0 {
		return nil, fmt.Errorf("no line of the answer is by a key that was given: %.200q", body)
	}
	for _, sig := range sigs {
		if at, err := scitt.CosignatureTime(sig); err != nil || at.IsZero() {
			return nil, fmt.Errorf("a cosignature without a time: %w", err)
		}
	}
	return sigs, nil
}

// conflict holds an answer 409 to the rules.
func (a *answer) conflict(what string, size uint64) error {
	if err := a.want(what, http.StatusConflict); err != nil {
		return err
	}
	if want := fmt.Sprintf("%d\n", size); string(a.body) != want {
		return fmt.Errorf("%s: the body of 409 is %.80q, want %q", what, a.body, want)
	}
	if got := a.header.Get("Content-Type"); got != witness.SizeMediaType {
		return fmt.Errorf("%s: the Content-Type of 409 is %q, want %s", what, got, witness.SizeMediaType)
	}
	return nil
}

// latest is the checkpoint at the monitoring prefix; nil where there is none.
func (s *session) latest(ctx context.Context) (*answer, error) {
	url := fmt.Sprintf("%s/%x/checkpoint", s.Monitoring, sha256.Sum256([]byte(s.log.Origin)))
	return s.ask(ctx, http.MethodGet, url, nil)
}

// near is how far the clock of a witness may be from ours.
const near = 5 * time.Minute
