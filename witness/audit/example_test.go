package audit_test

import (
	"context"
	"fmt"
	"log"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

const examplePolicy = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`

// exampleFiles are a log whose operator let a broken statement in.
func exampleFiles() (tiles.Source, *testlog.Keys) {
	t := testlog.Example{}
	files, keys := &testlog.Files{}, testlog.NewKeys(t)
	broken := testlog.Statement(t, testlog.Key(t, "ES256"), "host-17", []byte("running"))
	broken[len(broken)-1] ^= 1
	files.Publish(t, keys, append(keys.Begin(t, examplePolicy), broken))
	return files, keys
}

// Replay every admission of a log.
func ExampleAuditor_Run() {
	source, keys := exampleFiles()
	auditor, err := audit.New(tiles.NewLog(source, keys.Verifiers), nil, audit.Options{
		VKeys: keys.VKeys, List: 100,
		Report: func(v audit.Violation) { fmt.Println(*v.Index, v.Check) },
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := auditor.Run(context.Background()); err != nil {
		log.Fatal(err) // it could not look; violations are no errors
	}
	summary := auditor.Summary()
	fmt.Println(summary.Violations, "violation in", summary.Done, "entries; complete:", summary.Complete)
	// Output:
	// 2 signature
	// 1 violation in 3 entries; complete: true
}

// Which policies judged which entries, and who signed them.
func ExamplePolicies() {
	source, keys := exampleFiles()
	ctx := context.Background()
	view, err := tiles.NewLog(source, keys.Verifiers).Latest(ctx)
	if err != nil {
		log.Fatal(err)
	}
	history, err := audit.Policies(ctx, view, audit.PolicyOptions{VKeys: keys.VKeys})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range history.Policies {
		fmt.Printf("entry %d, signed by the %s, judges entry %d and what follows\n", p.Index, p.SignedBy, p.From)
	}
	fmt.Println(len(history.Refused), "refused")
	// Output:
	// entry 1, signed by the service, judges entry 2 and what follows
	// 0 refused
}
