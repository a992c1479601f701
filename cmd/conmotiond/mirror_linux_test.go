package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestMirrors: copies by other people's tools, the checkpoint first and moved in last,
// are whole logs, also while the log grows. docs/operate.md has the commands.
func TestMirrors(t *testing.T) {
	t.Parallel()
	servers := cloud.AWS(t)
	bucket := testlog.Must(servers.NewBucket(t.Context(), true))(t)
	dir, address := t.TempDir(), freeAddress(t)
	inDir := start(t, nil, nil, "--dir", dir, "--listen", "127.0.0.1:0")
	inBucket := start(t, nil, nil, "--dir", t.TempDir(), "--listen", address, "--issuer", "http://transparency.example",
		"--storage", bucket.Location, "--database", testlog.Must(servers.NewDatabase(t.Context()))(t))
	inBucket.url = "http://" + address
	for name, c := range map[string]struct {
		log         *process
		first, rest []string // the last argument is to be the file and the directory
	}{
		"rsync": {inDir, []string{"rsync", "-a", filepath.Join(dir, "public", "checkpoint")},
			[]string{"rsync", "-a", "--exclude", "checkpoint", "--exclude", "checkpoint.next", filepath.Join(dir, "public") + "/"}},
		"aws": {inBucket, []string{"aws", "--endpoint-url", servers.Endpoint, "--region", "us-east-1", "s3", "cp", "s3://" + bucket.Name + "/checkpoint"},
			[]string{"aws", "--endpoint-url", servers.Endpoint, "--region", "us-east-1", "s3", "sync", "--exclude", "checkpoint", "s3://" + bucket.Name}},
		"rclone": {inBucket, []string{"rclone", "copyto", ":s3:" + bucket.Name + "/checkpoint"},
			[]string{"rclone", "copy", "--exclude", "checkpoint", ":s3:" + bucket.Name}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := exec.Command(c.first[0], "--version").Run(); err != nil {
				t.Skipf("%s cannot be run: %v", name, err)
			}
			run := func(args []string, to string) {
				t.Helper()
				cmd := exec.Command(args[0], append(args[1:len(args):len(args)], to)...)
				cmd.Env = append(os.Environ(), "RCLONE_S3_PROVIDER=Other", "RCLONE_S3_ENDPOINT="+servers.Endpoint, "RCLONE_S3_ENV_AUTH=true")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", args, err, out)
				}
			}
			mirror := t.TempDir()
			receipts := register(t, c.log, name+" before", 300)
			next := filepath.Join(mirror, "checkpoint.next")
			run(c.first, next)
			register(t, c.log, name+" meanwhile", 300)
			run(c.rest, mirror)
			if err := os.Rename(next, filepath.Join(mirror, "checkpoint")); err != nil {
				t.Fatal(err)
			}
			_, body := c.log.get("/.well-known/transparency-configuration")
			testlog.NewChecker(t, mirror, testlog.Must(scitt.ParseConfiguration(body))(t).CheckpointKeys, c.log.keys()).Check(t, receipts)
		})
	}
}
