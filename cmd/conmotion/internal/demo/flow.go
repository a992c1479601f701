package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/search"
)

// events are the updates: what happened to two instances of a cloud.
//
//go:embed events/*.json
var events embed.FS

// assets of the updates, by number.
var assets = [...]string{1: "i-0a52c1f3e8d97b601", 2: "i-0c77d0b2f4a1e9835"}

// prepare makes the parties' keys.
func (d *demonstration) prepare() error {
	d.Say("\nThe parties and their keys\n")
	for _, name := range []string{"provider", "auditor", "customer"} {
		out, err := d.output(cli.ExitGood, "keygen", "--out", d.path(name+".pem"), "--json")
		if err != nil {
			return err
		}
		var key struct {
			Issuer string `json:"issuer"`
		}
		if err := json.Unmarshal(out, &key); err != nil || key.Issuer == "" {
			return fmt.Errorf("keygen printed no issuer: %w", err)
		}
		d.keys[name] = key.Issuer
	}
	return os.MkdirAll(d.path("statements"), 0o755)
}

// event writes an event of now and gives its file.
func (d *demonstration) event(name string) (path string, err error) {
	data, err := events.ReadFile("events/" + name)
	if err != nil {
		return "", err
	}
	var event map[string]any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // times have more digits than are shown
	if err := decoder.Decode(&event); err != nil {
		return "", err
	}
	event["time"] = time.Now().UnixMilli()
	if data, err = json.MarshalIndent(event, "", "  "); err != nil {
		return "", err
	}
	return d.path(name), os.WriteFile(d.path(name), data, 0o644)
}

// flow is one of the architecture's two sequence diagrams.
func (d *demonstration) flow(flow string) ([]step, error) {
	kind, action, record := monitor.Inventory, "create", "inventory"
	if flow == "configuration" {
		kind, action, record = monitor.Configuration, "create", "config"
	}
	update1, err := d.event(flow + "-update-1.json")
	if err != nil {
		return nil, err
	}
	update2, err := d.event(flow + "-update-2.json")
	if err != nil {
		return nil, err
	}
	statement := func(n int, of string) string { return d.path("statements", fmt.Sprintf("%s-%d-%s.cose", flow, n, of)) }
	measurement := d.path("statements", flow+"-measurement.cose")
	first, both, second := statement(1, "provider"), statement(1, "both"), statement(2, "auditor")
	sides := d.sides(d.start)
	return []step{
		{"provider", "stores update 1 and signs its hash", cli.ExitGood,
			[][]string{{"record", record, action, "--log", d.provider.url, "--key", d.path("provider.pem"), "--out", first, update1}},
			func() ([]string, error) { return d.stored(first, d.provider) }},
		{"provider", "registers it at its own log: the Transparent Statement comes back", cli.ExitGood,
			[][]string{{"verify", "--log", d.provider.url, "--artifacts", d.provider.url, first}},
			func() ([]string, error) { return d.registered(first, d.provider) }},
		{"provider", "registers the same statement at the auditor's log", cli.ExitGood,
			[][]string{{"submit", "--log", d.auditor.url, "--out", both, first}},
			func() ([]string, error) { return d.registered(both, d.provider, d.auditor) }},
		{"auditor", "observes update 2, which the provider did not report, stores, signs and registers it", cli.ExitGood,
			[][]string{{"observe", record, action, "--log", d.auditor.url, "--key", d.path("auditor.pem"), "--out", second, update2}},
			func() ([]string, error) {
				stored, err := d.stored(second, d.auditor)
				if err != nil {
					return nil, err
				}
				registered, err := d.registered(second, d.auditor)
				return append(stored, registered...), err
			}},
		{"auditor", "reads the last statements, finds what is missing, and confirms it by the provider's search", cli.ExitBad,
			[][]string{append([]string{"compare"}, sides...)},
			func() ([]string, error) { return d.missing(kind, both, second) }},
		{"auditor", "signs and registers the measurement", cli.ExitGood,
			[][]string{append(append([]string{"measure", flow}, sides...), "--log", d.auditor.url, "--key", d.path("auditor.pem"), "--out", measurement)},
			func() ([]string, error) { return d.measured(measurement) }},
		{"customer", "retrieves the measurements and pushes them to its dashboard", cli.ExitGood,
			[][]string{d.report()},
			func() ([]string, error) { return d.pushed(flow) }},
	}, nil
}

// sides say what is compared: what the provider's log reports against
// everything in the auditor's, from a time until now.
func (d *demonstration) sides(from time.Time) []string {
	to := time.Now().UTC().Truncate(time.Millisecond).Add(time.Millisecond) // the end counts too
	return []string{"--reported", d.provider.url, "--observed", d.auditor.url, "--observed-types", "record,observation",
		"--from", from.Format(time.RFC3339Nano), "--to", to.Format(time.RFC3339Nano), "--grace", "0s"}
}

// report is the customer's dashboard.
func (d *demonstration) report() []string {
	return append([]string{"report", "--provider", d.provider.url, "--auditor", d.auditor.url, "--measured-by", d.keys["auditor"],
		"--name", d.keys["auditor"] + "=Meridian Assurance", "--name", d.keys["provider"] + "=Northwind Cloud",
		"--from", d.start.Format(time.RFC3339), "--grace", "0s", "--out", d.path("report.html")}, d.quorums()...)
}

// readTransparent reads a Transparent Statement.
func readTransparent(path string) (*scitt.Statement, []byte, error) {
	data, err := durable.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	s, err := scitt.DecodeStatement(data)
	return s, data, err
}

// open opens a service's log from its directory, as it stands on the disk.
func (d *demonstration) open(s *service) (*party.Log, error) {
	return party.Open(d.ctx, s.public(), party.Options{Client: client.Options{HTTP: cli.HTTPClient(cli.Readers)}})
}

// stored checks the artifact behind a statement's hash.
func (d *demonstration) stored(path string, at *service) ([]string, error) {
	s, _, err := readTransparent(path)
	if err != nil {
		return nil, err
	}
	if s.Envelope == nil {
		return nil, errors.New("the statement signs no hash")
	}
	log, err := d.open(at)
	if err != nil {
		return nil, err
	}
	content, err := log.Content(d.ctx, s)
	if err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("the %s's artifact storage has %d bytes whose SHA-256 is %x, which the statement signs", at.name, len(content), sha256.Sum256(content))}, nil
}

// registered checks that logs hold a statement, from their files, and that it
// has the Receipt of each.
func (d *demonstration) registered(path string, in ...*service) (checked []string, err error) {
	s, data, err := readTransparent(path)
	if err != nil {
		return nil, err
	}
	for _, service := range in {
		log, err := d.open(service)
		if err != nil {
			return nil, err
		}
		id := s.ID()
		e, err := log.Find(d.ctx, party.EntryName{Location: log.Location, ID: &id}, nil)
		if err != nil {
			return nil, err
		}
		keys, err := log.ReceiptKeys(d.ctx)
		if err != nil {
			return nil, err
		}
		v := scitt.Verifier{LogKeys: keys}
		out, err := v.Verify(data)
		if err != nil {
			return nil, err
		}
		if err := out.Err(); err != nil {
			return nil, err
		}
		checked = append(checked, fmt.Sprintf("entry %d in the files of the %s's log is this statement, and its Receipt by that log verifies", e.Index, service.name))
	}
	return checked, nil
}

// missing checks with other means than compare what the provider did not
// report: its search, and every entry of its log.
func (d *demonstration) missing(kind monitor.Kind, reported, observed string) (checked []string, err error) {
	log, err := d.open(d.provider)
	if err != nil {
		return nil, err
	}
	for n, path := range []string{1: reported, 2: observed} {
		if n == 0 {
			continue
		}
		s, _, err := readTransparent(path)
		if err != nil {
			return nil, err
		}
		found := false
		for e, err := range log.View.Entries(d.ctx, 0, log.View.Checkpoint.Size) {
			if err != nil {
				return nil, err
			}
			entry, err := scitt.DecodeStatement(e.Data)
			found = found || err == nil && entry.Subject == s.Subject
		}
		answer, err := d.searchFor(kind, assets[n], log.View.Checkpoint.Size)
		if err != nil {
			return nil, err
		}
		if known := len(answer.Entries) > 0; found != (n == 1) || known != (n == 1) {
			return nil, fmt.Errorf("%s: in the provider's log: %v, in its search: %v", assets[n], found, known)
		}
		where := "is neither in the provider's search nor in any of its entries"
		if found {
			where = "is in the provider's search and in its log"
		}
		checked = append(checked, fmt.Sprintf("%s of %s %s, up to %d entries", kind, assets[n], where, answer.Checkpoint.Size))
	}
	return checked, nil
}

// searchFor asks the provider's search for records of a kind about an asset,
// as soon as it has read so many entries: the index follows the log.
func (d *demonstration) searchFor(kind monitor.Kind, uid string, size uint64) (*search.Answer, error) {
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	defer cancel()
	c, err := client.New(d.provider.url, client.Options{HTTP: cli.HTTPClient(cli.Readers)})
	if err != nil {
		return nil, err
	}
	for {
		body, err := c.Search(ctx, url.Values{"f.resources.uid": {"=" + uid}, "sub": {string(kind) + "/" + uid}})
		if err != nil {
			return nil, err
		}
		var a search.Answer
		if err := json.Unmarshal(body, &a); err != nil {
			return nil, err
		}
		if a.Checkpoint.Size >= size {
			return &a, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("the provider's search knows %d of %d entries: %w", a.Checkpoint.Size, size, ctx.Err())
		}
	}
}

// measured checks the measurement against the architecture's figure.
func (d *demonstration) measured(path string) ([]string, error) {
	s, _, err := readTransparent(path)
	if err != nil {
		return nil, err
	}
	log, err := d.open(d.auditor)
	if err != nil {
		return nil, err
	}
	content, err := log.Content(d.ctx, s)
	if err != nil {
		return nil, err
	}
	in, err := monitor.ParseMeasurement(content)
	if err != nil {
		return nil, err
	}
	if in.Impact != 50 {
		return nil, fmt.Errorf("the impact score is %d: of two objects one is missing, which is 50", in.Impact)
	}
	checked, err := d.registered(path, d.auditor)
	return append(checked, "impact_score is 50: of two objects one is missing"), err
}

// pushed checks the dashboard.
func (d *demonstration) pushed(flow string) ([]string, error) {
	page, err := durable.ReadFile(d.path("report.html"))
	if err != nil {
		return nil, err
	}
	for _, needed := range []string{flow, "50"} {
		if !strings.Contains(strings.ToLower(string(page)), needed) {
			return nil, fmt.Errorf("the report does not mention %s", needed)
		}
	}
	return []string{"the report has the measurement of the " + flow + ": " + d.path("report.html")}, nil
}
