package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

func (a *app) runRecompute(ctx context.Context, f measureFlags) error {
	limitMemory()
	payload, st, err := a.readMeasurement(ctx, f)
	if err != nil {
		return err
	}
	p := a.Progress()
	defer p.Done()
	var opening error // of a log, which may not be there at all
	pinned := func(side sideFlags) party.Pinned {
		return func(url string, pin *scitt.Checkpoint) (monitor.Log, error) {
			log, err := a.pinned(ctx, side, url, pin, f.readFlags)
			if opening = err; err == nil {
				log = p.Count(side.name, log)
			}
			return log, err
		}
	}
	r, in, err := party.Recompute(ctx, payload, pinned(f.reported), pinned(f.observed))
	switch {
	case opening != nil:
		return opening
	case errors.Is(err, monitor.ErrAlgorithm): // no verdict
		return cli.Usage(err)
	case errors.Is(err, party.ErrNoMeasurement):
		return fmt.Errorf("%s: %w", f.recompute, err)
	case err != nil:
		return cli.OfLog(err)
	}
	p.Done()
	if st != nil {
		r.EntryID, r.Issuer = st.ID().String(), st.Issuer
	}
	return a.printRecomputed(r, in)
}

// readMeasurement reads the payload from a file or a log. The statement is nil
// for a payload alone.
func (a *app) readMeasurement(ctx context.Context, f measureFlags) ([]byte, *scitt.Statement, error) {
	data, err := cli.ReadFileFlag(ctx, "recompute", f.recompute)
	if err != nil && (!isMissing(err) || f.log == "" && !party.IsURL(f.recompute)) {
		return nil, nil, err
	}
	if err != nil {
		log, e, err := a.findEntry(ctx, f.recompute, f.log, f.readFlags)
		if err != nil {
			return nil, nil, err
		}
		content, err := log.Measurement(ctx, e)
		return content, e.Statement, err
	}
	o, err := a.partyOptions(ctx, f.readFlags)
	if err != nil {
		return nil, nil, err
	}
	payload, st, err := party.ReadMeasurement(data, o.IssuerKeys)
	if err != nil {
		err = fmt.Errorf("%s: %w", f.recompute, err)
	}
	return payload, st, err
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

func (a *app) printRecomputed(r *party.Recomputed, in *monitor.MeasurementInputs) error {
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
		{"interval", spanOf(in.Interval)},
		{"reported", fmt.Sprintf("%s at %d entries", in.Reported.Origin, in.Reported.Size)},
		{"observed", fmt.Sprintf("%s at %d entries", in.Observed.Origin, in.Observed.Size)},
		{"withheld", withheld}, {"impact claimed", fmt.Sprint(r.Claimed)}, {"impact computed", computed},
	}
	for _, path := range r.Paths {
		rows = append(rows, []string{"differs", path})
	}
	if r.PathsMore > 0 {
		rows = append(rows, []string{"differs", fmt.Sprintf("at %d more", r.PathsMore)})
	}
	return errors.Join(a.Print(r, cli.Rows(append(rows, []string{"result", result}))), verdict)
}
