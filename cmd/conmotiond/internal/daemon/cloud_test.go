package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/klog/v2"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/search"
	"github.com/conmotion/conmotion/tiles"
)

var cloud parts.Tests

func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // Tessera's way to log
	log.SetOutput(io.Discard)                         // and that of the client of Spanner
	os.Exit(cloud.Main(m))
}

// inBucket has a log in a bucket, and its artifacts in another one.
func inBucket(t *testing.T, p parts.Cloud) (change func(*daemon.Config), public, artifacts parts.Bucket) {
	t.Helper()
	public, artifacts = testlog.Must(p.NewBucket(t.Context(), true))(t), testlog.Must(p.NewBucket(t.Context(), false))(t)
	database := testlog.Must(p.NewDatabase(t.Context()))(t)
	return func(c *daemon.Config) {
		c.Storage, c.Database, c.Artifacts, c.Search = public.Location, database, artifacts.Location, true
	}, public, artifacts
}

// TestBucket: a service whose log is in a bucket does what one with a directory does,
// and the bucket alone, without the service, is enough for everybody else.
func TestBucket(t *testing.T) { cloud.Each(t, bucketAlone) }

func bucketAlone(t *testing.T, servers parts.Cloud) {
	key, admin := testlog.Key(t, "ES256"), testlog.Key(t, "EdDSA")
	place, bucket, artifacts := inBucket(t, servers)
	policy := withPolicy(t, document(t, key, admin, "", map[string]any{"chain": "optional"}))
	s := newService(t, func(c *daemon.Config) { place(c); policy(c) })
	s.url = bucket.URL
	receipts := map[string][]byte{}

	// A statement, the same again, and another signature of its content.
	statement := testlog.Statement(t, key, "asset", []byte("one"))
	first := s.do(http.MethodPost, "/entries", statement)
	again := s.do(http.MethodPost, "/entries", statement)
	twin := s.do(http.MethodPost, "/entries", testlog.Must(vectors.Twin(key, statement))(t))
	if first.StatusCode != http.StatusCreated || again.StatusCode != http.StatusCreated || first.Header.Get("Location") != again.Header.Get("Location") || twin.StatusCode != http.StatusConflict {
		t.Errorf("%s at %s, %s at %s, and a twin: %s", first.Status, first.Header.Get("Location"), again.Status, again.Header.Get("Location"), twin.Status)
	}
	receipts[string(statement)] = first.body

	// A chain in one request.
	all := chain(t, key, "inventory", nil, 900)
	_, chained, problem := s.bulk(all)
	if problem != nil || len(chained) != len(all) {
		t.Fatalf("%d of %d are registered: %v", len(chained), len(all), problem)
	}
	for i, receipt := range chained {
		receipts[string(all[i])] = receipt
	}
	if a := s.do(http.MethodPost, "/entries", all[5]); a.StatusCode != http.StatusCreated {
		t.Errorf("one of a chain again: %s", a.Status)
	}

	// An artifact, and search for what is in it.
	event := []byte(`{"class_uid":5023,"resources":[{"uid":"i-0a2"}],"metadata":{"event_code":"inventory.create"}}`)
	if a := s.do(http.MethodPost, "/artifacts", event); a.StatusCode != http.StatusCreated {
		t.Fatal(a.Status)
	}
	if a := testlog.Must(http.Get(artifacts.URL))(t); artifacts.Client != nil && a.StatusCode != http.StatusForbidden { // the other server shows every bucket
		t.Errorf("the bucket of artifacts shows itself: %s", a.Status)
	}
	hash := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", ContentType: "application/json", Hash: true}, event))(t)
	receipts[string(hash)] = s.register(hash)
	var found search.Answer
	for found.Checkpoint.Size < uint64(len(receipts)+2) { // until the index is there
		if a := s.get("/search?f.resources.uid=i-0a2"); a.StatusCode == http.StatusOK {
			if err := json.Unmarshal(a.body, &found); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(found.Entries) != 1 || found.Entries[0].Index != uint64(len(receipts)+1) {
		t.Errorf("found %+v", found.Entries)
	}

	// What the service shows is what lies in the bucket, with the same headers.
	for _, path := range []string{tiles.BundlePath(2, 0), tiles.TilePath(0, 2, 0), tiles.KeysPath, tiles.ConfigurationPath, tiles.CheckpointPath} {
		shown, lies := s.get("/"+path), testlog.Must(http.Get(bucket.URL+"/"+path))(t)
		body := new(bytes.Buffer)
		_ = testlog.Must(body.ReadFrom(lies.Body))(t)
		lies.Body.Close()
		for _, header := range []string{"Content-Type", "Cache-Control"} {
			if shown.Header.Get(header) != lies.Header.Get(header) || lies.Header.Get(header) == "" {
				t.Errorf("%s: %s is %q, and %q in the bucket", path, header, shown.Header.Get(header), lies.Header.Get(header))
			}
		}
		if lies.StatusCode != http.StatusOK || !bytes.Equal(shown.body, body.Bytes()) {
			t.Errorf("%s: %s, %d and %d bytes", path, lies.Status, len(shown.body), body.Len())
		}
	}
	checker := s.checker()
	checker.Check(t, receipts)

	// A restart, with a new index: the same entries, and the next index.
	s.stop()
	if err := os.Remove(filepath.Join(s.config.Dir, "private", "index.db")); err != nil {
		t.Fatal(err)
	}
	s.start()
	for statement, receipt := range receipts {
		if err := s.verify([]byte(statement), receipt); err != nil {
			t.Fatal(err)
		}
		break
	}
	if a := s.do(http.MethodPost, "/entries", statement); a.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("after a restart: %s at %s", a.Status, a.Header.Get("Location"))
	}
	s.register(s.signPolicy(admin, document(t, key, admin, s.InForce().ID.String(), map[string]any{"chain": "required"})))
	if view := checker.Check(t, receipts); view.Checkpoint.Size != uint64(len(receipts)+3) {
		t.Errorf("the log has %d entries, want %d", view.Checkpoint.Size, len(receipts)+3)
	}
	if policies := replay(t, s); policies != 2 {
		t.Errorf("the log has %d policies", policies)
	}
	s.stop()
	checker.Check(t, receipts)
}

// TestBucketRefused: what is missing or wrong is said before anything is made.
func TestBucketRefused(t *testing.T) {
	t.Parallel()
	place, public, _ := inBucket(t, cloud.AWS(t))
	empty := testlog.Must(cloud.AWS(t).NewBucket(t.Context(), true))(t)
	s := newService(t, place)
	s.stop()
	open := func(dir string, change func(*daemon.Config)) string {
		t.Helper()
		c := s.config
		c.Dir = dir
		change(&c)
		d, err := daemon.Open(context.Background(), c, testlog.Must(daemon.NewTelemetry())(t))
		if err == nil {
			_ = d.Close() // it should not be open
		}
		return fmt.Sprint(err)
	}
	password := cloud.AWS(t).Password
	others := filepath.Join(t.TempDir(), "keys")
	if err := daemon.MakeKeys(t.Context(), daemon.Config{Keys: others, Issuer: "https://other.example"}, others+"-recovery.pem", daemon.Elsewhere{}); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*daemon.Config){
		"--storage s3://BUCKET needs --database":                       func(c *daemon.Config) { c.Database = "" },
		"--database is for a log in a bucket":                          func(c *daemon.Config) { c.Storage = "" },
		"--storage: ftp://log is not":                                  func(c *daemon.Config) { c.Storage = "ftp://log" },
		"--storage gs://BUCKET needs --database":                       func(c *daemon.Config) { c.Storage = "gs://log" },
		"--artifacts: s3://" + public.Name + " is the bucket of a log": func(c *daemon.Config) { c.Artifacts = c.Storage },
		"--snapshots: s3://" + public.Name + " is the bucket of a log": func(c *daemon.Config) { c.Storage, c.Snapshots = empty.Location, c.Storage },
		"--artifacts: /tmp is not":                                     func(c *daemon.Config) { c.Artifacts = "/tmp" },
		"the password is not part of the URL":                          func(c *daemon.Config) { c.Database = strings.Replace(c.Database, "@", ":"+password+"@", 1) },
		"--database-password-file: open /nowhere":                      func(c *daemon.Config) { c.DatabasePasswordFile = "/nowhere" },
		"Access denied": func(c *daemon.Config) { c.Database = strings.Replace(c.Database, "conmotion@", "nobody@", 1) },
		"has a log already, \"transparency.example\"": func(*daemon.Config) {},
		"are of other.example":                        func(c *daemon.Config) { c.Keys, c.Issuer = others, "" },
	} {
		dir := testwait.Dir(t)
		if want == "Access denied" {
			dir = s.config.Dir // its keys
		}
		if got := open(dir, change); !strings.Contains(got, want) || strings.Contains(got, password) {
			t.Errorf("%s: %s", want, got)
		}
	}
}

// TestStartTogether: two instances that start at the same time on nothing make one log, and
// both know its policy.
func TestStartTogether(t *testing.T) { cloud.Each(t, startTogether) }

func startTogether(t *testing.T, servers parts.Cloud) {
	place, _, _ := inBucket(t, servers)
	c := daemon.Config{DefaultIssuer: "http://transparency.example", Issuer: "http://transparency.example", Keys: filepath.Join(t.TempDir(), "keys"), Logger: slog.New(slog.DiscardHandler), Burst: 1, Lease: time.Minute}
	if err := daemon.MakeKeys(t.Context(), c, filepath.Join(t.TempDir(), "recovery-key.pem"), daemon.Elsewhere{}); err != nil {
		t.Fatal(err)
	}
	place(&c)
	var instances [2]*daemon.Daemon
	var errs [2]error
	var group sync.WaitGroup
	for i := range instances {
		c := c
		c.Dir = testwait.Dir(t)
		telemetry := testlog.Must(daemon.NewTelemetry())(t)
		group.Go(func() { instances[i], errs[i] = daemon.Open(context.Background(), c, telemetry) })
	}
	group.Wait()
	writers := 0
	for i, d := range instances {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if d.Leads() {
			writers++
		}
		if d.InForce().Index != 1 {
			t.Errorf("%s: the policy in force is entry %d", d.Role(), d.InForce().Index)
		}
	}
	if writers != 1 {
		t.Errorf("there are %d writers", writers)
	}
	for _, d := range instances {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestMadeMeanwhile: a start that makes a log, and waits for witnesses, ends with the reason
// when another log is made in its bucket meanwhile.
func TestMadeMeanwhile(t *testing.T) {
	t.Parallel()
	place, public, _ := inBucket(t, cloud.AWS(t))
	policy := filepath.Join(t.TempDir(), "policy")
	write(t, policy, fmt.Appendf(nil, "witness w %s http://%s/\nquorum w\n", testlog.NewCosigner(t, "witness.example", "Ed25519"), testwait.Address(t)))
	c := daemon.Config{Dir: testwait.Dir(t), DefaultIssuer: "http://transparency.example", Wait: time.Minute, Burst: 1, WitnessPolicy: policy, WitnessTimeout: time.Second, Logger: slog.New(slog.DiscardHandler)}
	place(&c)
	telemetry, ended := testlog.Must(daemon.NewTelemetry())(t), make(chan error, 1)
	go func() {
		_, err := daemon.Open(context.Background(), c, telemetry)
		ended <- err
	}()
	testwait.Until(t, func() bool {
		for path := range testlog.Must(public.Objects(t.Context()))(t) {
			if strings.HasPrefix(path, "tile/") {
				return true
			}
		}
		return false
	}, "the bucket has entry 0")
	if err := public.Write(t.Context(), tiles.CheckpointPath, []byte("other.example\n0\n")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), `has the log "other.example"`) {
		t.Errorf("the start ends with %v", err)
	}
}
