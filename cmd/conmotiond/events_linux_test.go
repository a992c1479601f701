package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// TestEvents is the main job: issuers register chains of OCSF records at a replica, the
// writer is killed with a part of them on its way, and all of it is verified from the
// bucket alone, with every instance stopped.
func TestEvents(t *testing.T) { cloud.Each(t, mainJob) }

func mainJob(t *testing.T, servers parts.Cloud) {
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "issuers": [{"issuer": "did:jwk:*"}], "chain": "required"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPair(t, servers, "--policy", policy)
	c := testlog.Must(client.New(p.public[1].url, client.Options{Retries: 100}))(t) // a busy machine may take long over the next writer
	payloads := slices.Collect(maps.Values(testlog.Events(t)))
	half := len(payloads) / 2
	receipts, contents := map[string][]byte{}, map[string][]byte{}
	var mu sync.Mutex
	var first, second sync.WaitGroup
	begun := make(chan struct{})
	const issuers = 4
	first.Add(issuers)
	for i := range issuers {
		key := testlog.Key(t, "ES256")
		var all [][]byte
		link := scitt.ChainLink{Name: "records"}
		for n, event := range payloads {
			l := link
			statement := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: fmt.Sprintf("record/%d", n), ContentType: "application/json", Type: scitt.TypeRecord, Chain: &l}, event))(t)
			id := testlog.Must(scitt.ParseStatement(statement))(t).ID()
			link.Seq, link.Prev = link.Seq+1, id[:]
			all, contents[string(statement)] = append(all, statement), event
		}
		second.Go(func() {
			register := func(part [][]byte) {
				done, err := c.RegisterAll(t.Context(), part)
				if err != nil {
					t.Errorf("issuer %d: %v", i, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for n, r := range done {
					receipts[string(part[n])] = r.Receipt
				}
			}
			register(all[:half])
			first.Done()
			first.Wait()
			for n := half; n < len(all); n += 3 {
				if i == 0 && n == half+3 {
					close(begun)
				}
				register(all[n:min(n+3, len(all))])
			}
		})
	}
	<-begun
	_ = p.public[0].signal(syscall.SIGKILL) // it was killed
	second.Wait()
	p.says(1, "/readyz", "ok\nwriter, term 2")
	if err := p.public[1].signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%v\n%s", err, p.public[1].stderr)
	}

	// From here on there is the bucket, and nothing else.
	bucket := testlog.Must(tiles.Open(p.bucket.URL, client.Options{}))(t)
	configuration, set := testlog.Must(bucket.Get(t.Context(), tiles.ConfigurationPath))(t), testlog.Must(bucket.Get(t.Context(), tiles.KeysPath))(t)
	vkeys, keys := testlog.Must(scitt.ParseConfiguration(configuration))(t).CheckpointKeys, testlog.Must(scitt.ParseKeySet(set))(t)
	if len(receipts) != issuers*len(payloads) {
		t.Fatalf("%d Receipts for %d records", len(receipts), issuers*len(payloads))
	}
	view := testlog.NewChecker(t, p.bucket.URL, vkeys, keys).Check(t, receipts)
	if view.Checkpoint.Size != uint64(len(receipts)+2) {
		t.Errorf("the log has %d entries and not %d", view.Checkpoint.Size, len(receipts)+2)
	}
	v := scitt.Verifier{LogKeys: keys}
	for statement, receipt := range receipts {
		out := testlog.Must(v.Verify(scitt.AttachReceipts(testlog.Must(scitt.ParseStatement([]byte(statement)))(t), receipt)))(t)
		if err := out.Err(); err != nil || !bytes.Equal(out.Statement.Payload, contents[statement]) {
			t.Errorf("a record: %v", err)
		}
	}
	replay(t, p.bucket.URL, vkeys)
}

// replay judges every admission of the log at a URL, as an auditor does.
func replay(t *testing.T, location string, vkeys []string) {
	t.Helper()
	log := tiles.NewLog(testlog.Must(tiles.Open(location, client.Options{}))(t), testlog.Must(scitt.NewCheckpointVerifiers(vkeys))(t))
	auditor := testlog.Must(audit.New(log, nil, audit.Options{VKeys: vkeys, List: 10, Report: func(v audit.Violation) {
		t.Errorf("%s: %s", v.Check, v.Message)
	}}))(t)
	if err := auditor.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
