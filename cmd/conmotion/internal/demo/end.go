package demo

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
)

// customerActs has the customer build on what was published.
func (d *demonstration) customerActs() error {
	d.Say("\nThe customer decides\n")
	s, _, err := readTransparent(d.path("statements", "inventory-1-provider.cose"))
	if err != nil {
		return err
	}
	entry := d.provider.url + "/entries/" + s.ID().String()
	for _, step := range []struct {
		exit int
		args []string
	}{
		{cli.ExitGood, []string{"endorse", entry, "--log", d.auditor.url, "--key", d.path("auditor.pem"), "--scope", "existence", "--for", "720h"}},
		{cli.ExitGood, []string{"ack", entry, "--log", d.customer.url, "--key", d.path("customer.pem"), "--asset", "vm-web-1", "--out", d.path("statements", "acknowledgement.cose")}},
		{cli.ExitGood, []string{"endorsements", entry, "--in", d.auditor.url}},
		// The provider reports half of what there is: not good enough.
		{cli.ExitBad, d.gate(10)},
		{cli.ExitGood, d.gate(50)},
	} {
		if err := d.command(step.exit, step.args...); err != nil {
			return err
		}
	}
	checked, err := d.registered(d.path("statements", "acknowledgement.cose"), d.customer)
	if err != nil {
		return err
	}
	for _, c := range checked {
		d.Say("   checked: %s", c)
	}
	return nil
}

func (d *demonstration) gate(impact int) []string {
	return []string{"require", "--endorsed-by", d.keys["auditor"], "--max-impact", fmt.Sprint(impact), "--max-age", "24h",
		"--log", d.provider.url, "--in", d.auditor.url, assets[1]}
}

// verifyAlone verifies everything again when all services have stopped.
func (d *demonstration) verifyAlone() error {
	d.Say("\nAll services have stopped: the files are enough\n")
	for _, s := range d.services() {
		if err := d.command(cli.ExitGood, "audit", s.public(), "--artifacts", s.private("artifacts"), "--witness-policy", s.policy()); err != nil {
			return err
		}
	}
	if err := d.command(cli.ExitGood, append([]string{"verify", "--quorum", "2", "--static", d.provider.public(), "--static", d.auditor.public(),
		"--artifacts", d.provider.private("artifacts"), d.path("statements", "inventory-1-both.cose")}, d.quorums()...)...); err != nil {
		return err
	}
	measurements, err := filepath.Glob(d.path("statements", "*-measurement.cose"))
	if err != nil {
		return err
	}
	for _, m := range measurements {
		if err := d.command(cli.ExitGood, "measure", "--recompute", m, "--reported", d.provider.public(), "--observed", d.auditor.public()); err != nil {
			return err
		}
	}
	return nil
}

// Left is what the demo leaves, as the last line of --json.
type Left struct {
	Report  string  `json:"report"`
	Dir     string  `json:"dir"`
	Seconds float64 `json:"seconds"`
}

// farewell says what is left to explore.
func (d *demonstration) farewell() error {
	seconds := time.Since(d.start).Seconds()
	return d.PrintLine(Left{d.path("report.html"), d.dir, seconds}, func(p *cli.Page) {
		p.Text(fmt.Sprintf(`
Played in %.1f s. The dashboard: %s

The three logs are in %s, to be explored:
  export CONMOTION_HOME=%s
  conmotion replay --log %s
  conmotion inspect %s

The provider's service goes on with the witnesses of the two others, each in a terminal of its own:
  %s
  %s
  %s --dir %s --listen %s --witness-policy %s
`, seconds, d.path("report.html"), d.dir, d.path("home"),
			d.provider.public(), d.path("statements", "inventory-1-both.cose"),
			d.auditor.witness, d.customer.witness, d.program, d.provider.dir, d.provider.address(), d.provider.policy()))
	})
}
