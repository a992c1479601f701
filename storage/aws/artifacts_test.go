package aws_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/storage/internal/artifacttest"
)

func TestArtifacts(t *testing.T) {
	p := cloud.Parts(t)
	artifacttest.Run(t, func(t *testing.T) artifact.Store {
		bucket := testlog.Must(aws.ParseBucket(testlog.Must(p.NewBucket(t.Context(), false))(t).Location))(t)
		return testlog.Must(aws.OpenArtifacts(t.Context(), bucket, artifact.Options{}))(t)
	})
}

// TestArtifactDamaged: damage is found, no byte of it is given, and the good bytes
// replace it. The quota counts what is stored, also at the next start.
func TestArtifactDamaged(t *testing.T) {
	p := cloud.Parts(t)
	b := testlog.Must(p.NewBucket(t.Context(), false))(t)
	bucket := testlog.Must(aws.ParseBucket(b.Location))(t)
	damaged := 0
	o := artifact.Options{MaxSize: 3 << 20, Quota: 5 << 20, OnCorrupt: func(artifact.Digest) { damaged++ }}
	s := testlog.Must(aws.OpenArtifacts(t.Context(), bucket, o))(t)
	content := artifacttest.Bytes(1, 2<<20)
	digest := artifact.Digest(sha256.Sum256(content))
	put := func(content []byte) (bool, error) {
		_, created, err := s.Put(t.Context(), bytes.NewReader(content), artifact.Want{})
		return created, err
	}
	if created, err := put(content); !created || err != nil {
		t.Fatalf("created %v, %v", created, err)
	}
	key, other := digest.Path(), bytes.Clone(content)
	other[1<<20] ^= 1
	if _, err := b.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: bytes.NewReader(other)}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(t.Context(), digest); !errors.Is(err, artifact.ErrCorrupt) || damaged != 1 {
		t.Errorf("damaged: %v, found %d times", err, damaged)
	}
	if created, err := put(content); !created || err != nil {
		t.Errorf("the good bytes: created %v, %v", created, err)
	}
	if got, err := s.Artifact(t.Context(), digest, int64(len(content))); err != nil || !bytes.Equal(got, content) {
		t.Errorf("replaced: %d bytes, %v", len(got), err)
	}
	if _, err := put(make([]byte, 3<<20+1)); !errors.Is(err, artifact.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := put(make([]byte, 3<<20)); err != nil {
		t.Errorf("the rest of the quota: %v", err)
	}
	for range 2 {
		if _, err := put([]byte("one more")); !errors.Is(err, artifact.ErrFull) {
			t.Errorf("beyond the quota: %v", err)
		}
		s = testlog.Must(aws.OpenArtifacts(t.Context(), bucket, o))(t)
	}
}
