package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

// TestMigrate: a log that moved, with the move killed again and again, is the same
// log: old receipts verify there, the next entry has the next index, and nobody can go
// on in the old place. Its artifacts are there too.
func TestMigrate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to func(t *testing.T) parts.Cloud
	}{
		"a directory to S3":  {nil, ofAWS},
		"a directory to GCS": {nil, ofGCP},
		"S3 to S3":           {ofAWS, ofAWS},
		"S3 to GCS":          {ofAWS, ofGCP},
		"GCS to S3":          {ofGCP, ofAWS},
		"GCS to GCS":         {ofGCP, ofGCP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			location := func(cloud parts.Cloud) (string, string, parts.Bucket) {
				b := testlog.Must(cloud.NewBucket(t.Context(), true))(t)
				return b.Location, testlog.Must(cloud.NewDatabase(t.Context()))(t), b
			}
			old, move := []string{"--dir", dir}, []string{"migrate", "--writer-lease", "1s", "--from", dir}
			if c.from != nil {
				bucket, database, _ := location(c.from(t))
				artifacts := testlog.Must(c.from(t).NewBucket(t.Context(), false))(t).Location
				old = append(old, "--storage", bucket, "--database", database, "--writer-lease", "1s", "--artifacts", artifacts)
				move = []string{"migrate", "--writer-lease", "1s", "--dir", dir, "--from", bucket, "--from-database", database, "--from-artifacts", artifacts}
			}
			artifacts := testlog.Must(c.to(t).NewBucket(t.Context(), false))(t).Location
			bucket, database, shown := location(c.to(t))
			move = append(move, "--to", bucket, "--database", database)
			address := testwait.Address(t)
			here := []string{"--listen", address, "--issuer", "http://transparency.example", "--artifacts-public"}

			p := start(t, nil, nil, append(old, here...)...)
			p.url = "http://" + address
			receipts := register(t, p, "before", 700)
			checkpoint := p.checkpoint()
			contents := map[string]string{}
			for i := range 20 {
				content := strings.Repeat(fmt.Sprint(i), 1+i*1000)
				if a, body := p.ask(http.MethodPost, "/artifacts", []byte(content)); a.StatusCode != http.StatusCreated {
					t.Fatalf("an artifact: %s %s", a.Status, body)
				}
				contents[fmt.Sprintf("/artifacts/sha256/%x", sha256.Sum256([]byte(content)))] = content
			}
			running := exec.Command(testlog.Must(os.Executable())(t), move...)
			running.Env = append(os.Environ(), beConmotiond+"=1")
			if out, err := running.CombinedOutput(); err == nil || !strings.Contains(string(out), "another process is using this directory") {
				t.Errorf("while the service runs: %v\n%s", err, out)
			}
			if err := p.signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}

			kills, said := 0, ""
			runs := [][]string{move, append(slices.Clone(move), "--artifacts", artifacts)}
			if c.from != nil {
				runs = runs[1:]
			}
			for len(runs) > 0 {
				cmd := exec.Command(testlog.Must(os.Executable())(t), runs[0]...)
				cmd.Env = append(os.Environ(), beConmotiond+"=1")
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				kill := time.AfterFunc(time.Duration(rand.IntN(2500))*time.Millisecond, func() {
					if kills < 4 {
						_ = cmd.Process.Kill() // it may have ended
					}
				})
				err := cmd.Wait()
				kill.Stop()
				if err == nil {
					said, runs = said+out.String(), runs[1:]
					continue
				}
				if kills++; kills > 4 {
					t.Fatalf("%v\n%s", err, out.String())
				}
			}
			t.Logf("killed %d times", kills)
			if strings.Contains(said, "left in "+dir+"/private/artifacts: 20 artifacts (335030 bytes)") != (c.from == nil) || !strings.Contains(said, "verified: 20 artifacts (") || !strings.Contains(said, "--artifacts "+strconv.Quote(artifacts)) {
				t.Errorf("it says %s", said)
			}

			cmd := exec.Command(testlog.Must(os.Executable())(t), append(old, here...)...)
			cmd.Env = append(os.Environ(), beConmotiond+"=1")
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "the log was moved") || !strings.Contains(string(out), shown.Name) {
				t.Errorf("a start in the old place: %v\n%s", err, out)
			}
			p = start(t, nil, nil, append([]string{"--dir", dir, "--storage", bucket, "--database", database, "--artifacts", artifacts, "--writer-lease", "1s"}, here...)...)
			p.url = "http://" + address
			if now := p.checkpoint(); now.Origin != checkpoint.Origin || now.Size != checkpoint.Size || !bytes.Equal(now.Root, checkpoint.Root) {
				t.Errorf("the log was %d %x, and is %d %x", checkpoint.Size, checkpoint.Root, now.Size, now.Root)
			}
			for path, content := range contents {
				if status, body := p.get(path); string(body) != content {
					t.Errorf("%s: %d, %d bytes", path, status, len(body))
				}
			}
			for statement, receipt := range register(t, p, "after", 1) {
				receipts[statement] = receipt
			}
			_, body := p.get("/.well-known/transparency-configuration")
			configuration := testlog.Must(scitt.ParseConfiguration(body))(t)
			checker := testlog.NewChecker(t, shown.URL, configuration.CheckpointKeys, p.keys())
			if view := checker.Check(t, receipts); view.Checkpoint.Size != checkpoint.Size+1 {
				t.Errorf("the log has %d entries, and had %d", view.Checkpoint.Size, checkpoint.Size)
			}
			if err := p.signal(syscall.SIGTERM); err != nil {
				t.Errorf("%v\n%s", err, p.stderr)
			}
		})
	}
}

func ofAWS(t *testing.T) parts.Cloud { t.Helper(); return cloud.AWS(t) }
func ofGCP(t *testing.T) parts.Cloud { t.Helper(); return cloud.GCP(t) }

// checkpoint is the public one.
func (p *process) checkpoint() *scitt.Checkpoint {
	p.t.Helper()
	_, raw := p.get("/checkpoint")
	_, body := p.get("/.well-known/transparency-configuration")
	verifiers := testlog.Must(scitt.NewCheckpointVerifiers(testlog.Must(scitt.ParseConfiguration(body))(p.t).CheckpointKeys))(p.t)
	return testlog.Must(verifiers.Open(raw))(p.t)
}

// register registers statements in one request.
func register(t *testing.T, p *process, name string, n int) map[string][]byte {
	t.Helper()
	key := testlog.Key(t, "ES256")
	var all [][]byte
	for i := range n {
		all = append(all, testlog.Statement(t, key, "asset", fmt.Appendf(nil, "%s %d", name, i)))
	}
	_, receipts, problem, err := p.postAll(t.Context(), all, "wait=60")
	if err != nil || problem != nil || len(receipts) != n {
		t.Fatalf("%d of %d are registered: %v, %v", len(receipts), n, problem, err)
	}
	byStatement := map[string][]byte{}
	for i, receipt := range receipts {
		byStatement[string(all[i])] = receipt
	}
	return byStatement
}
