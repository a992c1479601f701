package gcp_test

import (
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/storage/gcp"
)

func ExampleParseBucket() {
	b, err := gcp.ParseBucket("gs://transparency-log")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b, string(b))
	// Output: gs://transparency-log transparency-log
}

func TestLocations(t *testing.T) {
	const database = "spanner://projects/a.example:p-1/instances/i-1/databases/d_1-x"
	for location, want := range map[string]bool{
		"gs://log": true, "gs://log.example/": true, "gs://log/prefix": false, "s3://log": false, "gs://": false, "gs://Log": false,
		"gs://user:secret@log": false, "gs://log?a=b": false, database: true, database + "/": false, "mysql://u@h/d": false,
		"spanner://user:secret@projects/p/instances/i/databases/d": false, "gs://log?key=secret": false, "gs://key:secret@%": false,
		"spanner://projects/p/instances/i": false, "spanner://projects/p/instances/i/databases/d?x": false,
	} {
		b, err := gcp.ParseBucket(location)
		d, derr := gcp.ParseDatabase(location)
		if got := err == nil || derr == nil; got != want || err == nil && b.String() != "gs://"+string(b) || derr == nil && d.String() != location {
			t.Errorf("%s: %q %v, %q %v", location, b, err, d, derr)
		}
		if said := fmt.Sprint(err, derr); strings.Contains(said, "secret") {
			t.Errorf("%s: %s", location, said)
		}
	}
}

func FuzzLocations(f *testing.F) {
	f.Add("gs://log")
	f.Add("spanner://projects/p/instances/i/databases/d")
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := gcp.ParseBucket(s); err == nil && (b == "" || b.String() != s && b.String()+"/" != s) {
			t.Errorf("%q is the bucket %q", s, b)
		}
		if d, err := gcp.ParseDatabase(s); err == nil && d.String() != s {
			t.Errorf("%q is the database %q", s, d)
		}
	})
}
