package artifacttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/conmotion/conmotion/storage/artifact"
)

// Open opens the store in a bucket, again each time.
type Open func(artifact.Options) (artifact.Storage, error)

// Write replaces an object of the bucket.
type Write func(ctx context.Context, key string, data []byte) error

func reopen(t *testing.T, open Open, o artifact.Options) artifact.Storage {
	t.Helper()
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// RunBucket tests the stores in the empty buckets that bucket gives.
func RunBucket(t *testing.T, bucket func(t *testing.T) (Open, Write)) {
	Run(t, func(t *testing.T) artifact.Store {
		open, _ := bucket(t)
		return reopen(t, open, artifact.Options{})
	})
	t.Run("Damaged", func(t *testing.T) {
		open, write := bucket(t)
		damaged(t, open, write)
	})
}

// damaged tests that damage is found, that no byte of it is given, and that the good
// bytes replace it. The quota counts what is stored, also at the next start.
func damaged(t *testing.T, open Open, write Write) {
	damaged := 0
	o := artifact.Options{MaxSize: 3 << 20, Quota: 5 << 20, OnCorrupt: func(artifact.Digest) { damaged++ }}
	s := reopen(t, open, o)
	content := Bytes(1, 2<<20)
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
	if err := write(t.Context(), key, other); err != nil {
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
		s = reopen(t, open, o)
	}
}
