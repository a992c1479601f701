package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// recomputed is what recomputing a measurement came to.
type recomputed struct {
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

func (a *app) runRecompute(ctx context.Context, f measureFlags) error {
	limitMemory()
	payload, st, err := a.readMeasurement(ctx, f)
	if err != nil {
		return err
	}
	in, err := monitor.ParseMeasurement(payload)
	if errors.Is(err, monitor.ErrAlgorithm) {
		return cli.Usage(err)
	}
	if err != nil {
		return cli.Bad(fmt.Errorf("%s is not a measurement that can be computed again: %w", f.recompute, err))
	}
	p := a.Progress()
	defer p.Done()
	var logs [2]monitor.Log
	for i, side := range []struct {
		flags sideFlags
		url   string
		pin   *scitt.Checkpoint
	}{{f.reported, in.Options.ReportedURL, in.Reported}, {f.observed, in.Options.ObservedURL, in.Observed}} {
		if logs[i], err = a.pinned(ctx, side.flags, side.url, side.pin, f.readFlags); err != nil {
			return err
		}
		logs[i] = p.Count(side.flags.name, logs[i])
	}
	r, err := monitor.Recompute(ctx, payload, logs[0], logs[1])
	if err != nil && !unchecked(err) {
		return cli.OfLog(err)
	}
	p.Done()
	out := recomputed{What: string(in.Options.What), Claimed: in.Impact, Paths: []string{}, Withheld: len(in.Withheld)}
	if err != nil {
		out.Unchecked = err.Error()
	} else {
		out.Same, out.Computed, out.PathsMore, out.Served = r.Same(), r.Measurement.Impact, r.PathsMore, r.Served
		out.Paths = append(out.Paths, r.Paths...)
	}
	if st != nil {
		out.EntryID, out.Issuer = st.ID().String(), st.Issuer
	}
	return a.printRecomputed(&out, in)
}

// readMeasurement reads the payload from a file or a log. The statement is nil
// for a payload alone.
func (a *app) readMeasurement(ctx context.Context, f measureFlags) ([]byte, *scitt.Statement, error) {
	data, err := os.ReadFile(f.recompute)
	if err != nil && (!isMissing(err) || f.log == "" && !party.IsURL(f.recompute)) {
		return nil, nil, fmt.Errorf("--recompute: %w", err)
	}
	if err != nil {
		log, e, err := a.findEntry(ctx, f.recompute, f.log, f.readFlags)
		if err != nil {
			return nil, nil, err
		}
		if err := a.measurementSigned(log.VerifyStatement(e.Statement), e.Statement); err != nil {
			return nil, nil, err
		}
		content, err := log.Content(ctx, e.Statement)
		return content, e.Statement, err
	}
	st, err := scitt.DecodeStatement(data)
	if err != nil {
		return data, nil, nil // the payload alone; whether it is one will show
	}
	o, err := a.partyOptions(f.readFlags)
	if err != nil {
		return nil, nil, err
	}
	signed := scitt.SelfCertifying(nil, nil).Verifier(o.IssuerKeys)(st)
	if err := a.measurementSigned(signed, st); err != nil {
		return nil, nil, err
	}
	if st.Envelope != nil {
		return nil, nil, cli.Usage(fmt.Errorf("%s signs the hash of the measurement: give its ENTRY and --log, or the payload's file", f.recompute))
	}
	return st.Payload, st, nil
}

// measurementSigned is the verdict on the measurement's own statement.
func (a *app) measurementSigned(err error, st *scitt.Statement) error {
	switch {
	case err != nil:
		return fmt.Errorf("the signature of the measurement: %w", err)
	case st.Type != scitt.TypeMeasurement:
		return cli.Bad(fmt.Errorf("the statement's type is %q, and a measurement's %q", st.Type, scitt.TypeMeasurement))
	}
	return nil
}

// pinned opens a log at the checkpoint that the measurement pins.
func (a *app) pinned(ctx context.Context, f sideFlags, url string, pin *scitt.Checkpoint, common readFlags) (monitor.Log, error) {
	if f.location == "" {
		if !party.IsURL(url) {
			return monitor.Log{}, cli.Usage(fmt.Errorf("the measurement does not say where the log %q is: give --%s", pin.Origin, f.name))
		}
		f.location = url
		a.Notice("notice: --%s is %s, as the measurement says", f.name, url)
	}
	l, err := a.openSide(ctx, f, common)
	if err != nil {
		return monitor.Log{}, err
	}
	log, err := l.At(ctx, pin)
	if err != nil {
		return log, cli.OfLog(fmt.Errorf("%s: %s at the checkpoint that the measurement pins, of %d entries: %w", f.name, f.location, pin.Size, err))
	}
	return log, nil
}

func (a *app) printRecomputed(r *recomputed, in *monitor.MeasurementInputs) error {
	var verdict error
	result, computed, withheld := "the same, bit for bit", fmt.Sprint(r.Computed), ""
	if r.Withheld > 0 {
		withheld = fmt.Sprintf("%s not there, says the measurement; %d of them now", plural.Verb(r.Withheld, "content", "was", "were"), r.Served)
	}
	switch {
	case r.Unchecked != "":
		result, computed = "CANNOT BE CHECKED", ""
		verdict = cli.Usage(errors.New(r.Unchecked))
	case !r.Same:
		result = fmt.Sprintf("DIFFERENT: it does not come out as it was signed, at %d places", len(r.Paths)+r.PathsMore)
		verdict = cli.Bad(errors.New("the measurement is not what the logs lead to"))
	}
	rows := [][]string{
		{"measurement", r.EntryID}, {"issuer", r.Issuer}, {"measures", r.What + " of " + in.Reported.Origin},
		{"interval", fmt.Sprintf("%s to %s, grace %v", moment(in.Interval.From.UnixMilli()), moment(in.Interval.To.UnixMilli()), in.Interval.Grace)},
		{"reported", fmt.Sprintf("%s at %d entries", in.Reported.Origin, in.Reported.Size)},
		{"observed", fmt.Sprintf("%s at %d entries", in.Observed.Origin, in.Observed.Size)},
		{"withheld", withheld}, {"impact claimed", fmt.Sprint(r.Claimed)}, {"impact computed", computed},
	}
	for _, path := range r.Paths {
		rows = append(rows, []string{"differs", cell(path)})
	}
	if r.PathsMore > 0 {
		rows = append(rows, []string{"differs", fmt.Sprintf("at %d more", r.PathsMore)})
	}
	return errors.Join(a.Print(r, append(rows, []string{"result", result})), verdict)
}
