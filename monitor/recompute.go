package monitor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// ErrPinned says that a log is not the one, or not at the checkpoint, that a
// measurement pins.
var ErrPinned = errors.New("not the log that the measurement pins")

// ErrAlgorithm says that a measurement was made by another algorithm or version, which this version cannot compute.
var ErrAlgorithm = errors.New("the measurement is of another algorithm")

// MeasurementInputs are what a measurement says it was made of.
type MeasurementInputs struct {
	Reported, Observed             *scitt.Checkpoint // to be opened with tiles.Tree.At
	ReportedFilter, ObservedFilter Filter
	Interval                       Interval
	Options                        MeasureOptions
	Impact                         int // as it claims
	// Withheld are the contents that were not there for the measurer, in order.
	Withheld []reader.Digest
	version  string // of the algorithm
}

// Subject is the sub of the measurement's statement.
func (in *MeasurementInputs) Subject() string {
	return measurementSubject(in.Options.What, in.Reported.Origin)
}

// ParseMeasurement reads the payload of a measurement. It believes nothing but
// the form; [Recompute] reports whether the numbers are right. Errors wrap
// ErrMalformed.
func ParseMeasurement(payload []byte) (*MeasurementInputs, error) {
	var event struct {
		Time     int64 `json:"time"`
		Unmapped struct {
			Conmotion *measurementDocument `json:"conmotion"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, malformed("%w", err)
	}
	doc := event.Unmapped.Conmotion
	if doc == nil {
		return nil, malformed("the event has no unmapped.conmotion: it is not a measurement")
	}
	if a := doc.Algorithm; a.ID != measurementAlgorithm || a.Version != measurementVersion && a.Version != secondVersion {
		return nil, malformed("%w: %.80q version %.20q, and not %s version %s", ErrAlgorithm, a.ID, a.Version, measurementAlgorithm, measurementVersion)
	}
	in := &MeasurementInputs{
		ReportedFilter: Filter{doc.Reported.Issuers, doc.Reported.Types},
		ObservedFilter: Filter{doc.Observed.Issuers, doc.Observed.Types},
		Options:        MeasureOptions{doc.What, time.UnixMilli(event.Time).UTC(), doc.Home, doc.Reported.URL, doc.Observed.URL},
		Impact:         doc.Result.Impact,
		Withheld:       doc.Withheld,
		version:        doc.Algorithm.Version,
	}
	var errs [5]error
	in.Reported, errs[0] = doc.Reported.Checkpoint.checkpoint()
	in.Observed, errs[1] = doc.Observed.Checkpoint.checkpoint()
	in.Interval.From, errs[2] = time.Parse(timeLayout, doc.Interval.From)
	in.Interval.To, errs[3] = time.Parse(timeLayout, doc.Interval.To)
	errs[4] = checkHome(doc.Home)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, malformed("%w", err)
	}
	for i, d := range in.Withheld {
		if i > 0 && bytes.Compare(in.Withheld[i-1][:], d[:]) >= 0 {
			return nil, malformed("the withheld contents are not in order, or one is there twice: %s", d)
		}
	}
	if g := doc.Interval.GraceMS; g < 0 || g > int64(maxGrace/time.Millisecond) {
		return nil, malformed("the grace is %d ms", g)
	}
	in.Interval.Scope = doc.Interval.Scope
	in.Interval.Grace = time.Duration(doc.Interval.GraceMS) * time.Millisecond
	return in, in.Interval.Check()
}

// Recomputation is a measurement made again.
type Recomputation struct {
	Measurement *Measurement
	// Paths are where the claimed payload differs, as JSON paths, with
	// PathsMore left out. Empty when it is the same bit for bit.
	Paths     []string
	PathsMore int
	// Served is how many of the contents that the measurement says were withheld
	// are there now. It says nothing about then.
	Served int
}

// Recompute makes a measurement again from its inputs. The logs must be at the
// checkpoints that it pins (see [ParseMeasurement]): otherwise the error wraps
// ErrPinned. What was not there for the measurer does not count here either. Where
// anything else is not there the error is a [WithheldError], and where signatures
// cannot be checked it wraps ErrUnverified. To have differences is not an error.
func Recompute(ctx context.Context, payload []byte, reported, observed Log) (*Recomputation, error) {
	in, err := ParseMeasurement(payload)
	if err != nil {
		return nil, err
	}
	for _, side := range []struct {
		name string
		pin  *scitt.Checkpoint
		log  Log
	}{{"reported", in.Reported, reported}, {"observed", in.Observed, observed}} {
		cp := side.log.Checkpoint
		if cp.Origin != side.pin.Origin || cp.Size != side.pin.Size || !bytes.Equal(cp.Root, side.pin.Root) {
			return nil, fmt.Errorf("%w: %s: %q at size %d with root %x, in place of %q at size %d with root %x", ErrPinned,
				side.name, cp.Origin, cp.Size, cp.Root, side.pin.Origin, side.pin.Size, side.pin.Root)
		}
	}
	gone := newWithheld(in.Withheld)
	c, err := compare(ctx, Party{reported, in.ReportedFilter, nil}, Party{observed, in.ObservedFilter, nil}, in.Interval, gone, in.version)
	if err = cmp.Or(gone.check(), err); err != nil {
		return nil, err
	}
	m, err := Measure(c, in.Options)
	if err != nil {
		return nil, err
	}
	out := &Recomputation{Measurement: m, Served: gone.served()}
	if !bytes.Equal(payload, m.Payload) {
		out.Paths, out.PathsMore = differences(payload, m.Payload)
	}
	return out, nil
}

// Same says that the payload was reproduced bit for bit.
func (r *Recomputation) Same() bool { return len(r.Paths) == 0 }
