package report_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/report"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Make a dashboard of a provider's log. Package monitor/party opens logs.
func ExampleMake() {
	t := testlog.Example{}
	files, keys := &testlog.Files{}, testlog.NewKeys(t)
	files.Publish(t, keys, keys.Begin(t, `{"version": 1}`))
	view, err := tiles.NewLog(files, keys.Verifiers).Latest(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	provider := monitor.NewLog(view, nil, scitt.SelfCertifying(nil, nil).Verifier(nil))

	now := time.Now().Truncate(time.Millisecond)
	r, err := report.Make(context.Background(), []report.Source{{
		Location: testlog.Issuer, Roles: []report.Role{report.RoleProvider}, Log: &provider,
		State: report.StateGood, Keys: report.KeysGiven, VKeys: keys.VKeys,
	}, {
		Location: "https://auditor.example", Roles: []report.Role{report.RoleAuditor},
		State: report.StateUnreachable, Detail: "connection refused",
	}}, report.Options{At: now, From: now.Add(-24 * time.Hour), To: now, Stale: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	page, err := r.HTML() // or r.JSON, r.Prometheus
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Level, len(r.Logs), len(page) > 0)
	for _, a := range r.Attention {
		fmt.Println(a.Level, a.Text)
	}
	// Output:
	// high 2 true
	// high The log https://auditor.example: it could not be read. Nothing of it counts in this report.
	// unknown The log transparency.example: no measurement that counts is about it in this interval.
}
