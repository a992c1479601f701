package watch_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/watch"
)

// Look once at a log, and be told what is wrong with it.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "watch")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	add, keys := exampleLog(dir + "/log")
	config, err := watch.ParseConfig(fmt.Appendf(nil, `
state: state
logs:
  - name: provider
    location: log
    vkeys: [%q, %q]
    admission: {}
`, keys.VKeys[0], keys.VKeys[1]))
	if err != nil {
		log.Fatal(err) // with the line
	}
	config.Resolve(dir)
	w, err := watch.New(context.Background(), config, watch.Options{Line: func(a *watch.Alert, _ []byte) error {
		fmt.Println(a.Log, a.Check, a.Severity)
		return nil
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	fmt.Println(w.Once(context.Background()).Alerts, "alerts")

	// The operator admits a statement that is not one.
	add([]byte("not a statement"))
	fmt.Println(w.Once(context.Background()).Alerts, "alert")
	// Output:
	// 0 alerts
	// provider admission Critical
	// 1 alert
}

// exampleLog starts a log in a directory; add publishes one more entry.
func exampleLog(dir string) (add func(entry []byte), keys *testlog.Keys) {
	t := testlog.Example{}
	files, keys := &testlog.Files{}, testlog.NewKeys(t)
	entries := keys.Begin(t, `{"version": 1}`)
	publish := func() {
		files.Publish(t, keys, entries)
		files.WriteTo(t, dir)
	}
	publish()
	return func(entry []byte) { entries = append(entries, entry); publish() }, keys
}
