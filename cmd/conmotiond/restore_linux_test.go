package main

import (
	"bytes"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// object is one of a bucket, with the headers that readers see.
type object struct {
	data                    []byte
	mediaType, cacheControl *string
}

// objects are a backup of a bucket.
func objects(t *testing.T, b parts.Bucket) map[string]object {
	t.Helper()
	all := map[string]object{}
	pages := s3.NewListObjectsV2Paginator(b.Client, &s3.ListObjectsV2Input{Bucket: &b.Name})
	for pages.HasMorePages() {
		for _, o := range testlog.Must(pages.NextPage(t.Context()))(t).Contents {
			out := testlog.Must(b.Client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b.Name, Key: o.Key}))(t)
			all[*o.Key] = object{testlog.Must(io.ReadAll(out.Body))(t), out.ContentType, out.CacheControl}
			out.Body.Close()
		}
	}
	return all
}

// putBack makes the bucket what it was.
func putBack(t *testing.T, b parts.Bucket, was map[string]object) {
	t.Helper()
	for key := range objects(t, b) {
		testlog.Must(b.Client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b.Name, Key: &key}))(t)
	}
	for key, o := range was {
		testlog.Must(b.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: bytes.NewReader(o.data), ContentType: o.mediaType, CacheControl: o.cacheControl}))(t)
	}
}

// TestRestore: a backup of the database and one of the bucket go on as the log when
// they are of one state that everybody knows; a database that is older than the bucket,
// or newer than its files, is refused, and nothing changes in the bucket.
func TestRestore(t *testing.T) {
	t.Parallel()
	dump, err := exec.LookPath("mariadb-dump")
	if err != nil {
		t.Skip("mariadb-dump is not installed: apt-get install mariadb-client")
	}
	p := cloud.AWS(t)
	bucket := testlog.Must(p.NewBucket(t.Context(), true))(t)
	url := testlog.Must(p.NewDatabase(t.Context()))(t)
	host, port, _ := strings.Cut(p.MySQL, ":")
	name := url[strings.LastIndexByte(url, '/')+1:]
	sql := func(program string, in []byte, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(args, "--host="+host, "--port="+port, "--user="+p.User, name)...)
		cmd.Env = append(os.Environ(), "MYSQL_PWD="+p.Password)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
		return testlog.Must(cmd.Output())(t)
	}
	backup := func() []byte { return sql(dump, nil, "--single-transaction", "--no-tablespaces", "--add-drop-trigger") }

	keys := filepath.Join(t.TempDir(), "keys")
	makeKeys := command(io.Discard, os.Stderr)
	makeKeys.SetArgs([]string{"keys", "--issuer", "http://transparency.example", keys})
	if err := makeKeys.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	args := func() []string { // of an instance that has nothing but the keys
		return []string{"--keys", keys, "--dir", t.TempDir(), "--search=false", "--writer-lease", "1s", "--storage", bucket.Location, "--database", url, "--listen", testwait.Address(t)}
	}
	run := func() *process {
		t.Helper()
		a := args()
		i := start(t, nil, nil, a...)
		i.url = "http://" + a[len(a)-1]
		return i
	}
	l := &load{receipts: map[string][]byte{}}
	l.more.L = &l.mu
	// grow registers until there are n more, ends the instance, and copies what there is.
	var checker *testlog.Checker
	grow := func(name string, n int) (receipts map[string][]byte, files map[string]object, database []byte) {
		t.Helper()
		i := run()
		if checker == nil {
			_, body := i.get("/.well-known/transparency-configuration")
			checker = testlog.NewChecker(t, bucket.URL, testlog.Must(scitt.ParseConfiguration(body))(t).CheckpointKeys, i.keys())
		}
		stop := l.clients(t, i, name)
		l.await(n)
		stop()
		if err := i.signal(syscall.SIGTERM); err != nil {
			t.Fatalf("%v\n%s", err, i.stderr)
		}
		return maps.Clone(l.receipts), objects(t, bucket), backup()
	}
	first, oldFiles, oldDatabase := grow("first", 100)
	second, newFiles, newDatabase := grow("second", 300)
	if len(second) < len(first)+300 {
		t.Fatal("the log did not grow")
	}
	partial := maps.Clone(newFiles) // the newest checkpoint, and not all of its tiles
	for path := range partial {
		if _, old := oldFiles[path]; !old {
			delete(partial, path)
		}
	}
	known := maps.Clone(oldFiles) // what an operator does who knows a newer checkpoint
	known[tiles.CheckpointPath] = newFiles[tiles.CheckpointPath]
	for name, c := range map[string]struct {
		files    map[string]object
		database []byte
		want     string
	}{
		"an old database beside a newer bucket":             {newFiles, oldDatabase, "does not extend the public checkpoint"},
		"a newer database beside an old bucket":             {oldFiles, newDatabase, "file does not exist"},
		"both old, and the newest checkpoint that is known": {known, oldDatabase, "the public checkpoint: "},
		"a newer checkpoint without all of its files":       {partial, newDatabase, "file does not exist"},
	} {
		putBack(t, bucket, c.files)
		sql("mariadb", c.database)
		before := objects(t, bucket)
		if out := startRefused(t, args()...); !strings.Contains(strings.ToLower(out), c.want) {
			t.Errorf("%s: %s", name, out)
		} else {
			t.Logf("%s: %s", name, out[strings.LastIndex(out, "conmotiond:"):])
		}
		after := objects(t, bucket)
		for path := range before {
			if !bytes.Equal(before[path].data, after[path].data) {
				t.Errorf("%s: %s changed", name, path)
			}
		}
		if len(after) != len(before) {
			t.Errorf("%s: %d objects, and %d before", name, len(after), len(before))
		}
	}
	// Both of the newest state: the log goes on, and every Receipt is good.
	putBack(t, bucket, newFiles)
	sql("mariadb", newDatabase)
	third, _, _ := grow("third", 50)
	view := checker.Check(t, third)
	// Only the checkpoint is older than the files, as after a copy that had it first.
	stale := objects(t, bucket)
	stale[tiles.CheckpointPath] = newFiles[tiles.CheckpointPath]
	putBack(t, bucket, stale)
	i := run()
	checker.Check(t, third)
	t.Logf("%d entries", view.Checkpoint.Size)
	_ = i.signal(syscall.SIGKILL)
}
