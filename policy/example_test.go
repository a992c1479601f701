package policy_test

import (
	"fmt"
	"log"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// A policy admits a statement, or says what would make it pass.
func ExamplePolicy_Admit() {
	p, err := policy.Parse([]byte(`{
		"version": 1,
		"trust_anchors": {"self_certifying": ["did:jwk"]},
		"rules": [{"id": "named-hosts", "expr": "sub.startsWith('host-')", "message": "the subject is a host"}]
	}`))
	if err != nil {
		log.Fatal(err) // with line and column
	}
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		log.Fatal(err)
	}
	for _, subject := range []string{"host-17", "printer-3"} {
		data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: subject}, []byte("running"))
		if err != nil {
			log.Fatal(err)
		}
		statement, err := scitt.ParseStatement(data)
		if err != nil {
			log.Fatal(err)
		}
		if refusal := policy.AsRefusal(p.Admit(statement, policy.NoFacts{})); refusal != nil {
			fmt.Println(subject, refusal.Failed[0])
			continue
		}
		fmt.Println(subject, "is admitted")
	}
	// Output:
	// host-17 is admitted
	// printer-3 named-hosts: the subject is a host (to pass: make this true: sub.startsWith('host-'))
}

// Diff compares what two policies mean, not how they are written.
func ExampleDiff() {
	before, err := policy.Parse([]byte(`{"version": 1, "limits": {"max_entry_bytes": 16384}}`))
	if err != nil {
		log.Fatal(err)
	}
	after, err := policy.Parse([]byte(`{"limits": {"max_entry_bytes": 4096}, "version": 1}`))
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range policy.Diff(before, after) {
		fmt.Println(line)
	}
	// Output:
	// - limits.max_entry_bytes = 16384
	// + limits.max_entry_bytes = 4096
}
