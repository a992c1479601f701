package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestMirrors: copies by other people's tools, the checkpoint first and moved in last,
// are whole logs, also while the log grows. docs/operate.md has the commands.
func TestMirrors(t *testing.T) {
	t.Parallel()
	page := string(testlog.Must(os.ReadFile("../../docs/operate.md"))(t))
	_, snippet, _ := strings.Cut(page, "```sh\ncurl -fsS")
	snippet, _, _ = strings.Cut("curl -fsS"+snippet, "```")
	byCurl := strings.SplitAfterN(snippet, "\n", 2)
	s3 := func(t *testing.T) (*process, []string) { return inBucket(t, cloud.AWS(t)) }
	for name, c := range map[string]struct {
		log         func(t *testing.T) (*process, []string) // and the environment of the tool
		first, rest string                                  // shell commands in the mirror's directory
	}{
		"rsync": {inDir, `rsync -a "$DIR/checkpoint" checkpoint.next`, `rsync -a --exclude checkpoint --exclude checkpoint.next "$DIR/" .`},
		"curl":  {inDir, byCurl[0], byCurl[1]},
		"aws": {s3, `aws --endpoint-url "$ENDPOINT" --region us-east-1 s3 cp "s3://$BUCKET/checkpoint" checkpoint.next`,
			`aws --endpoint-url "$ENDPOINT" --region us-east-1 s3 sync "s3://$BUCKET" . --exclude checkpoint`},
		"rclone": {s3, `rclone copyto ":s3:$BUCKET/checkpoint" checkpoint.next`, `rclone copy --exclude checkpoint ":s3:$BUCKET" .`},
		"gcloud": {func(t *testing.T) (*process, []string) { return inBucket(t, cloud.GCP(t)) },
			`gcloud storage cp "gs://$BUCKET/checkpoint" checkpoint.next`, `gcloud storage rsync -r --exclude '^checkpoint$' "gs://$BUCKET" .`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tool, _, _ := strings.Cut(c.first, " ")
			if err := exec.Command(tool, "--version").Run(); err != nil {
				t.Skipf("%s cannot be run: %v", tool, err)
			}
			log, env := c.log(t)
			mirror := t.TempDir()
			run := func(script string) {
				t.Helper()
				cmd := exec.Command("bash", "-euc", strings.ReplaceAll(script, "https://transparency.example", log.url))
				cmd.Dir, cmd.Env = mirror, append(os.Environ(), env...)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", script, err, out)
				}
			}
			receipts := map[string][]byte{}
			copies := func(meanwhile string) {
				t.Helper()
				maps.Copy(receipts, register(t, log, name+" before "+meanwhile, 300))
				run(c.first)
				register(t, log, name+meanwhile, 300)
				run(c.rest)
				if name != "curl" { // which does it itself
					if err := os.Rename(filepath.Join(mirror, "checkpoint.next"), filepath.Join(mirror, "checkpoint")); err != nil {
						t.Fatal(err)
					}
				}
			}
			copies(" meanwhile")
			// The next time what changed is copied again: here the mirror has older keys.
			keys := filepath.Join(mirror, filepath.FromSlash(tiles.KeysPath))
			now := testlog.Must(os.ReadFile(keys))(t)
			if err := os.WriteFile(keys, now[:len(now)-1], 0o600); err != nil {
				t.Fatal(err)
			}
			copies(" again")
			if again := testlog.Must(os.ReadFile(keys))(t); !bytes.Equal(again, now) {
				t.Errorf("%s has %x, and the log %x", tiles.KeysPath, again, now)
			}
			_, body := log.get("/.well-known/transparency-configuration")
			testlog.NewChecker(t, mirror, testlog.Must(scitt.ParseConfiguration(body))(t).CheckpointKeys, log.keys()).Check(t, receipts)
		})
	}
}

func inDir(t *testing.T) (*process, []string) {
	dir := t.TempDir()
	return start(t, nil, nil, "--dir", dir, "--listen", "127.0.0.1:0"), []string{"DIR=" + filepath.Join(dir, "public")}
}

func inBucket(t *testing.T, servers parts.Cloud) (*process, []string) {
	bucket, address := testlog.Must(servers.NewBucket(t.Context(), true))(t), testwait.Address(t)
	p := start(t, nil, nil, "--dir", t.TempDir(), "--listen", address, "--issuer", "http://transparency.example",
		"--storage", bucket.Location, "--database", testlog.Must(servers.NewDatabase(t.Context()))(t))
	p.url = "http://" + address
	endpoint := strings.TrimSuffix(bucket.URL, "/"+bucket.Name)
	return p, []string{"BUCKET=" + bucket.Name, "ENDPOINT=" + endpoint, "RCLONE_S3_PROVIDER=Other", "RCLONE_S3_ENDPOINT=" + endpoint, "RCLONE_S3_ENV_AUTH=true", "AWS_CA_BUNDLE=",
		"CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true", "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=" + endpoint + "/", "CLOUDSDK_CONFIG=" + t.TempDir()}
}
