package report_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/report"
)

// Make a dashboard of a provider's log.
func ExampleMake() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	t, files := testlog.Example{}, &testlog.Files{}
	keys := testlog.NewKeys(t)
	files.Publish(t, keys, keys.Begin(t, `{"version": 1}`))
	files.WriteTo(t, dir)

	logs := report.Locations{Provider: []string{dir}, Auditor: []string{"no-such-log"}}
	sources, err := logs.Open(context.Background(), party.Options{VKeys: keys.VKeys})
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now().Truncate(time.Millisecond)
	r, err := report.Make(context.Background(), sources, report.Options{At: now, From: now.Add(-24 * time.Hour), To: now, Stale: time.Hour})
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
	// high The log no-such-log: it could not be read. Nothing of it counts in this report.
	// unknown The log transparency.example: no measurement that counts is about it in this interval.
}
