package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// realInput is the same story about files of one's own: the provider reports
// some, the auditor observes some, and the difference is measured. Their events
// are older than the interval, so nothing counts as late.
func (d *demonstration) realInput(reported, observed []string) ([]step, error) {
	from := time.Now().UTC().Truncate(time.Millisecond)
	measurement := d.path("statements", "real-measurement.cose")
	report, err := d.registrations(d.provider, []string{"record", "inventory", "create"}, []string{"import", "prowler", "--inventory"}, reported)
	if err != nil {
		return nil, err
	}
	observe, err := d.registrations(d.auditor, []string{"observe", "inventory", "create"}, []string{"import", "prowler", "--inventory", "--observe"}, observed)
	if err != nil {
		return nil, err
	}
	sides := d.sides(from)
	return []step{
		{"provider", "reports what its systems say", cli.ExitGood, report, d.replayed(d.provider)},
		{"auditor", "observes by itself", cli.ExitGood, observe, d.replayed(d.auditor)},
		{"auditor", "compares, and confirms what is missing", cli.ExitBad, [][]string{append([]string{"compare"}, sides...)},
			func() ([]string, error) { return nil, nil }},
		{"auditor", "signs and registers the measurement", cli.ExitGood,
			[][]string{append(append([]string{"measure", "inventory"}, sides...), "--log", d.auditor.url, "--key", d.path("auditor.pem"), "--out", measurement)},
			func() ([]string, error) { return d.registered(measurement, d.auditor) }},
		{"customer", "retrieves the measurements and pushes them to its dashboard", cli.ExitGood, [][]string{d.report()},
			func() ([]string, error) { return d.pushed("inventory") }},
	}, nil
}

// isExport tells an export of Prowler, which is an array, from an event, which
// is an object.
func isExport(file string) (bool, error) {
	data, err := durable.ReadFile(file)
	if err != nil {
		return false, err
	}
	data = bytes.TrimSpace(data)
	if !json.Valid(data) || data[0] != '[' && data[0] != '{' {
		return false, cli.Usage(fmt.Errorf("%s is neither an export of Prowler in OCSF, which is a JSON array, nor an event, which is an object", file))
	}
	return data[0] == '[', nil
}

// registrations are the commands that register files.
func (d *demonstration) registrations(at *service, event, export []string, files []string) (commands [][]string, err error) {
	for _, file := range files {
		command := event
		if is, err := isExport(file); err != nil {
			return nil, err
		} else if is {
			command = export
		}
		commands = append(commands, slices.Concat(command, []string{"--log", at.url, "--key", d.path(at.name + ".pem"), file}))
	}
	return commands, nil
}

// replayed checks what a log amounts to, from its files.
func (d *demonstration) replayed(at *service) func() ([]string, error) {
	return func() ([]string, error) {
		log, err := d.open(at)
		if err != nil {
			return nil, err
		}
		r := monitor.NewReplay(monitor.Filter{Issuers: []string{d.keys[at.name]}, Types: []string{scitt.TypeRecord, scitt.TypeObservation}}, nil)
		if err := r.Advance(d.ctx, log.Monitor(), log.View.Checkpoint.Size); err != nil {
			return nil, err
		}
		return []string{fmt.Sprintf("the files of the %s's log amount to %s and %s", at.name, plural.Of(len(r.Assets()), "asset"), plural.Of(len(r.Configurations()), "configuration"))}, nil
	}
}
