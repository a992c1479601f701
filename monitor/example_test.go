package monitor_test

import (
	"context"
	"crypto"
	"fmt"
	"log"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// exampleRecord signs that an asset was created at noon.
func exampleRecord(key crypto.Signer, typ, uid string) []byte {
	event := fmt.Sprintf(`{"class_uid": 5023, "category_uid": 5, "activity_id": 1, "type_uid": 502301, "severity_id": 1, "time": %d,
		"metadata": {"version": "1.5.0", "product": {"name": "inventory"}}, "resources": [{"uid": %q}]}`, noon.UnixMilli(), uid)
	record, err := monitor.NewRecord([]byte(event), monitor.Inventory, monitor.Create)
	if err != nil {
		log.Fatal(err)
	}
	data, err := scitt.SignStatement(key, scitt.SignOptions{
		Type: typ, Subject: record.Event.Subject(), ContentType: monitor.ContentType, IssuedAt: noon,
	}, record.Payload)
	if err != nil {
		log.Fatal(err)
	}
	return data
}

// exampleLog is a log with these entries; package monitor/party opens real ones.
func exampleLog(entries ...[]byte) monitor.Log {
	t := testlog.Example{}
	files, keys := &testlog.Files{}, testlog.NewKeys(t)
	files.Publish(t, keys, entries)
	view, err := tiles.NewLog(files, keys.Verifiers).Latest(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return monitor.NewLog(view, nil, scitt.SelfCertifying(nil, nil).Verifier(nil))
}

// A replay is the inventory that a party's records amount to.
func ExampleReplay() {
	provider := testlog.Key(testlog.Example{}, "ES256")
	l := exampleLog(exampleRecord(provider, scitt.TypeRecord, "vm-1"), exampleRecord(provider, scitt.TypeRecord, "vm-2"))

	replay := monitor.NewReplay(monitor.Filter{}, nil)
	if err := replay.Advance(context.Background(), l, l.Checkpoint.Size); err != nil {
		log.Fatal(err)
	}
	for _, asset := range replay.Assets() {
		fmt.Println(asset.UID, "created by entry", asset.Created.Index)
	}
	// Output:
	// vm-1 created by entry 0
	// vm-2 created by entry 1
}

// An auditor compares what the provider reported with what it saw itself.
func ExampleCompare() {
	provider, auditor := testlog.Key(testlog.Example{}, "ES256"), testlog.Key(testlog.Example{}, "ES256")
	reported := exampleLog(exampleRecord(provider, scitt.TypeRecord, "vm-1"))
	observed := exampleLog(exampleRecord(auditor, scitt.TypeObservation, "vm-1"), exampleRecord(auditor, scitt.TypeObservation, "vm-2"))

	comparison, err := monitor.Compare(context.Background(),
		monitor.Party{Log: reported},
		monitor.Party{Log: observed, Filter: monitor.Filter{Types: []string{scitt.TypeObservation}}},
		monitor.Interval{From: noon, To: noon.Add(time.Hour), Grace: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	for _, finding := range comparison.Findings {
		fmt.Println(finding.Kind, finding.UID)
	}
	// Output: missing vm-2
}
