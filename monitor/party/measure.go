package party

import (
	"context"
	"fmt"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
)

// Measured is a measurement that was registered.
type Measured struct {
	monitor.EntryRef
	What   monitor.Kind `json:"what"`
	Impact int          `json:"impact_score"`
	Data   bool         `json:"data"`
	// Of Union objects that were observed or reported, Missing were not reported, and
	// the configuration of Drift differed, and that of Undisclosed may have, in fields that are hidden.
	Union       int `json:"union"`
	Missing     int `json:"missing"`
	Drift       int `json:"drift"`
	Undisclosed int `json:"undisclosed"`
	// Coverage is the share of the observed time that was reported too.
	Coverage string                 `json:"coverage,omitempty"`
	ByTime   []monitor.TimeCoverage `json:"coverage_by_time,omitempty"`
	ByType   []monitor.TypeCoverage `json:"coverage_by_type,omitempty"`
	Resumed  bool                   `json:"resumed"`

	Claim   *monitor.Claim `json:"-"` // all that it says
	Outcome Outcome        `json:"-"` // to be ended with [Outcome.Done] when it was told
}

// Measure makes a measurement of a comparison, and registers it with the first service, whose
// log is its home. What an earlier call had signed is registered in its place, until
// [Outcome.Done]: the same is not measured twice.
func (r *Registrar) Measure(ctx context.Context, c *monitor.Comparison, o monitor.MeasureOptions) (*Measured, error) {
	o.Home = r.Log().Origin()
	m, err := monitor.Measure(c, o)
	if err != nil {
		return nil, err
	}
	payload, options, err := m.ToSign()
	if err != nil {
		return nil, err
	}
	in := c.Interval
	words := []string{"measurement", string(o.What), c.Reported.Checkpoint.Origin, c.Observed.Checkpoint.Origin,
		printable.Moment(in.From.UnixMilli()), printable.Moment(in.To.UnixMilli()), in.Grace.String(),
		fmt.Sprint(c.Reported.Issuers, c.Reported.Types, c.Observed.Issuers, c.Observed.Types, in.Scope)}
	outcomes, err := r.Register(ctx, []Draft{{Content: payload, Options: options, OrHash: true, Words: words}})
	if err == nil {
		err = outcomes[0].Err()
	}
	if err != nil {
		return nil, err
	}
	// What an earlier call had signed may be of logs that were smaller.
	out := outcomes[0]
	content, err := r.Log().Content(ctx, out.Copies[0].Statement)
	if err != nil {
		return nil, err
	}
	claim, err := monitor.ParseClaim(content)
	if err != nil {
		return nil, err
	}
	n := &claim.Metrics
	return &Measured{out.At[0].Ref, claim.Options.What, claim.Impact, claim.Data, n.Union, n.Missing, n.Drift, n.Undisclosed,
		claim.Coverage, n.ByTime, n.ByType, out.Resumed, claim, out}, nil
}
