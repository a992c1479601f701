package demo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// What the customer has, in events.
const (
	account      = "340287110954"
	goneFunction = "arn:aws:lambda:eu-central-1:" + account + ":function:mailer"
	password     = "correct-horse-battery-staple" // of the other function
	region       = "eu-central-1"                 // that is shown
	owner        = "Ada Lovelace"                 // that stays hidden
)

// estate is what the customer has: scans say what is gone, secrets are taken out, and one
// field of a record is shown.
func (d *demonstration) estate() ([]step, error) {
	scans, err := d.scans()
	if err != nil {
		return nil, err
	}
	database, err := d.event("customer-database.json")
	if err != nil {
		return nil, err
	}
	hidden, shown := d.path("statements", "database.cose"), d.path("database-region.json")
	at := []string{"--log", d.customer.url, "--key", d.path("customer.pem")}
	return []step{
		{"customer", "scans its account; what is known to hold secrets is taken out before anything is stored", cli.ExitGood,
			[][]string{scans[0]}, d.withoutSecret},
		{"customer", "scans it again: one function is not there any more", cli.ExitGood,
			[][]string{scans[1]}, d.gone},
		{"customer", "records a database with hidden fields, and shows the auditor one of them", cli.ExitGood,
			[][]string{
				slices.Concat([]string{"record", "config", "create"}, at, []string{"--disclosable", "data.*", "--out", hidden, database}),
				{"disclose", hidden, "--field", "data.region", "--out", shown},
				{"verify", "--log", d.customer.url, "--disclosed", shown, hidden},
			}, func() ([]string, error) { return d.shown(shown) }},
	}, nil
}

// scans are two imports of all that the account has, of which the second has one function less.
func (d *demonstration) scans() (commands [][]string, err error) {
	data, err := events.ReadFile("events/customer-export.json")
	if err != nil {
		return nil, err
	}
	var export map[string]any
	if err := json.Unmarshal(data, &export); err != nil {
		return nil, err
	}
	items := export["configurationItems"].([]any)
	now := time.Now().UTC().Truncate(time.Second)
	for n := range 2 {
		export["configurationItems"] = items[:len(items)-n]
		path := d.path(fmt.Sprintf("customer-export-%d.json", n+1))
		if data, err = json.MarshalIndent(export, "", "  "); err == nil {
			err = os.WriteFile(path, data, 0o644)
		}
		if err != nil {
			return nil, err
		}
		started := now.Add(time.Duration(n-2) * time.Minute)
		commands = append(commands, []string{"import", "aws-config", "--complete", "account=" + account, "--max-gone", "50",
			"--started", started.Format(time.RFC3339), "--ended", started.Add(30 * time.Second).Format(time.RFC3339),
			"--log", d.customer.url, "--key", d.path("customer.pem"), path})
	}
	return commands, nil
}

// withoutSecret looks for the password in everything that the customer's service keeps.
func (d *demonstration) withoutSecret() ([]string, error) {
	files := 0
	err := fs.WalkDir(os.DirFS(d.customer.dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := durable.ReadFile(d.path("customer", name))
		if bytes.Contains(data, []byte(password)) {
			err = fmt.Errorf("%s has the password", name)
		}
		files++
		return err
	})
	return []string{fmt.Sprintf("the password in the export is in none of the %d files of the customer's service", files)}, err
}

// gone checks what the customer's log amounts to, from its files.
func (d *demonstration) gone() ([]string, error) {
	log, err := d.open(d.customer)
	if err != nil {
		return nil, err
	}
	r := monitor.NewReplay(monitor.Filter{Issuers: []string{d.keys["customer"]}, Types: []string{scitt.TypeRecord}}, nil)
	if err := r.Advance(d.ctx, log.Monitor(), log.View.Checkpoint.Size); err != nil {
		return nil, err
	}
	assets := r.Assets()
	if len(assets) != 1 || assets[0].UID == goneFunction {
		return nil, fmt.Errorf("the files of the customer's log amount to %+v", assets)
	}
	return []string{fmt.Sprintf("in the files of the customer's log %s is gone, and %s is there", goneFunction, assets[0].UID)}, nil
}

// shown checks what a file shows.
func (d *demonstration) shown(path string) ([]string, error) {
	data, err := durable.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Disclosures []string `json:"disclosures"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	all := string(data)
	for _, one := range file.Disclosures {
		field, err := base64.RawURLEncoding.DecodeString(one)
		if err != nil {
			return nil, err
		}
		all += string(field)
	}
	if !strings.Contains(all, region) || strings.Contains(all, owner) {
		return nil, fmt.Errorf("%s shows other fields: %s", path, all)
	}
	return []string{fmt.Sprintf("%s shows the region, and not the owner", path)}, nil
}
