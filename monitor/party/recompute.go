package party

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// ErrNoMeasurement is wrapped when something is not a measurement that can be
// computed again.
var ErrNoMeasurement = errors.New("not a measurement that can be computed again")

var errHashed = errors.New("the statement signs the hash of the measurement: give its ENTRY and --log, or the payload's file")

// Recomputed is what computing a measurement again came to.
type Recomputed struct {
	Same      bool     `json:"same"`
	EntryID   string   `json:"entry_id,omitempty"`
	Issuer    string   `json:"issuer,omitempty"`
	What      string   `json:"what"`
	Claimed   int      `json:"claimed_impact_score"`
	Computed  int      `json:"computed_impact_score"`
	Unchecked string   `json:"unchecked,omitempty"` // why it cannot be checked: then nothing was computed
	Paths     []string `json:"paths"`               // where the payload differs, as JSON paths
	PathsMore int      `json:"paths_more,omitempty"`
	Withheld  int      `json:"withheld"`   // contents that were not there, as the measurement says
	Served    int      `json:"served_now"` // those of them that are there now
}

// signedMeasurement checks the type of a measurement's statement, and the outcome of
// verifying its signature.
func signedMeasurement(s *scitt.Statement, signature error) error {
	switch {
	case signature != nil:
		return fmt.Errorf("the signature of the measurement: %w", signature)
	case s.Type != scitt.TypeMeasurement:
		return fmt.Errorf("%w: the statement's type is %q, and a measurement's %q", ErrNoMeasurement, s.Type, scitt.TypeMeasurement)
	}
	return nil
}

// ReadMeasurement reads a measurement from a file: a statement that has it in it, and that its
// issuer signed, or the payload alone, of which the statement is nil. Whether the payload is a
// measurement shows when it is computed again. issuers are the keys of those whose names do not
// tell them.
func ReadMeasurement(data []byte, issuers map[string]scitt.Key) (payload []byte, st *scitt.Statement, err error) {
	if st, err = scitt.DecodeStatement(data); err != nil {
		return data, nil, nil
	}
	if err := signedMeasurement(st, scitt.SelfCertifying(nil, nil).Verifier(issuers)(st)); err != nil {
		return nil, nil, err
	}
	if st.Envelope != nil {
		return nil, nil, errHashed
	}
	return st.Payload, st, nil
}

// Measurement is the payload of a measurement that is an entry of the log.
func (l *Log) Measurement(ctx context.Context, e *Entry) ([]byte, error) {
	if err := signedMeasurement(e.Statement, nil); err != nil {
		return nil, err
	}
	return l.Content(ctx, e.Statement)
}

// Pinned opens the log of one side at the checkpoint that a measurement pins, see
// [Log.At]. The URL is where the measurement says that the log is.
type Pinned func(url string, pin *scitt.Checkpoint) (monitor.Log, error)

// Recompute computes a measurement again from the two logs that it names, and compares
// it bit for bit.
func Recompute(ctx context.Context, payload []byte, reported, observed Pinned) (*Recomputed, *monitor.MeasurementInputs, error) {
	in, err := monitor.ParseMeasurement(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoMeasurement, err)
	}
	reports, err := reported(in.Options.ReportedURL, in.Reported)
	if err != nil {
		return nil, nil, err
	}
	observations, err := observed(in.Options.ObservedURL, in.Observed)
	if err != nil {
		return nil, nil, err
	}
	out := &Recomputed{What: string(in.Options.What), Claimed: in.Impact, Paths: []string{}, Withheld: len(in.Withheld)}
	switch r, err := monitor.Recompute(ctx, payload, reports, observations); {
	case unchecked(err):
		out.Unchecked = err.Error()
	case err != nil:
		return nil, nil, err
	default:
		out.Same, out.Computed, out.PathsMore, out.Served = r.Same(), r.Measurement.Impact, r.PathsMore, r.Served
		out.Paths = append(out.Paths, r.Paths...)
	}
	return out, in, nil
}

// unchecked reports whether an error of package monitor says that a measurement
// cannot be checked with what is known and served here.
func unchecked(err error) bool {
	_, withheld := errors.AsType[*monitor.WithheldError](err)
	return withheld || errors.Is(err, monitor.ErrUnverified)
}
