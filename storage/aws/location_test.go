package aws_test

import (
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/storage/aws"
)

func ExampleParseBucket() {
	b, err := aws.ParseBucket("s3://transparency-log?region=eu-central-1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b, b.Region)
	// Output: s3://transparency-log eu-central-1
}

func TestParseBucket(t *testing.T) {
	full := aws.Bucket{Name: "log", Region: "r", Endpoint: "https://s3.example:9000", PathStyle: true}
	if b, err := aws.ParseBucket("s3://log/?region=r&endpoint=https://s3.example:9000&path_style=1"); err != nil || b != full {
		t.Errorf("%+v, %v", b, err)
	}
	for location, want := range map[string]string{
		"log": "is not s3://BUCKET", "gs://log": "is not s3://BUCKET", "s3://": "is not s3://BUCKET", "s3://log/prefix": "without a prefix",
		"s3://key:secret@log": "the credentials are not part", "s3://log?path_style=perhaps": "path_style is true or false",
		"s3://log?endpoint=s3.example": "endpoint is not a URL", "s3://log?endpoint=https://a:secret@b": "endpoint is not a URL",
		"s3://log?secret=1": `there is no parameter "secret"`, "s3://log?%": "invalid URL escape", "s3://%": "a bucket is",
		"s4://key:secret@log?key=:secret": "s4://log is not s3://BUCKET",
	} {
		if _, err := aws.ParseBucket(location); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), ":secret") {
			t.Errorf("%s: %v, want %q", location, err, want)
		}
	}
}

func TestParseDatabase(t *testing.T) {
	for location, want := range map[string]string{
		"mysql://me@db.example/log": "true db.example:3306", "mysql://me@db.example:1/log?tls=skip-verify": "skip-verify db.example:1",
		"mysql://me@127.0.0.1:9/log": "false 127.0.0.1:9", "mysql://me@[::1]/log?tls=true": "true [::1]:3306",
	} {
		c, err := aws.ParseDatabase(location, "secret")
		if err != nil || c.TLSConfig+" "+c.Addr != want || c.User != "me" || c.Passwd != "secret" || c.DBName != "log" {
			t.Errorf("%s: %+v, %v", location, c, err)
		}
	}
	for location, want := range map[string]string{
		"mysql://me:secret@h/log": "the password is not part of the URL", "postgres://me@h/log": "is not mysql://", "mysql://h/log": "is not mysql://",
		"mysql://me@h": "is not mysql://", "mysql://me@h/a/b": "is not mysql://", "mysql://me@h/log?tls=maybe": "tls is true",
		"mysql://me@h/log?timeout=1s": `there is no parameter "timeout"`, "mysql://me:secret@h:%/log": "a database is mysql://",
		"mysql://me@h/log?password=secret": `there is no parameter "password"`, "mysql://h/log?p=secret": "is not mysql://",
	} {
		if _, err := aws.ParseDatabase(location, ""); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", location, err, want)
		}
	}
}

func FuzzLocations(f *testing.F) {
	for _, s := range []string{"s3://log?region=r&endpoint=https://e&path_style=true", "mysql://u@h:1/db?tls=true", "s3://%/", "mysql://u:p@h/db"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := aws.ParseBucket(s); err == nil && b.Name == "" {
			t.Errorf("%q is a bucket without a name", s)
		}
		if c, err := aws.ParseDatabase(s, "p"); err == nil && (c.Addr == "" || c.DBName == "" || c.User == "" || c.Passwd != "p") {
			t.Errorf("%q is the database %+v", s, c)
		}
	})
}
