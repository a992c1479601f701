package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage/artifact"
)

// TestCopy: a copy that was interrupted goes on, what is damaged in the copy is replaced,
// and what is damaged where it comes from is named and left out.
func TestCopy(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	source, target := openDir(t, from, artifact.Options{}), openDir(t, to, artifact.Options{})
	var all []artifact.Digest
	var size int64
	for i := range 40 {
		content := bytes.Repeat(fmt.Append(nil, i), i*1000) // the first one is empty
		info, _, err := source.Put(t.Context(), bytes.NewReader(content), artifact.Want{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info.Digest)
		size += info.Size
	}
	spoil := func(dir string, d artifact.Digest) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(d.Path())), []byte("other bytes"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	ctx, stop := context.WithCancel(t.Context())
	if c, err := artifact.Copy(ctx, target, source, func(int, int) { stop() }); !errors.Is(err, context.Canceled) || c.Artifacts == 0 || c.Artifacts == len(all) {
		t.Fatalf("interrupted: %+v, %v", c, err)
	}
	var has []artifact.Digest
	if err := target.Each(t.Context(), func(i artifact.Info) error { has = append(has, i.Digest); return nil }); err != nil || len(has) == 0 {
		t.Fatal(has, err)
	}
	spoil(to, has[0])
	last := 0
	c := testlog.Must(artifact.Copy(t.Context(), target, source, func(done, of int) {
		if last++; done != last || of != len(all) {
			t.Errorf("%d of %d, and not %d", done, of, last)
		}
	}))(t)
	if c.Artifacts != len(all) || c.Bytes != size || len(c.Damaged) > 0 || last != len(all) {
		t.Errorf("%+v of %d bytes", c, size)
	}
	for _, d := range all {
		was, is := testlog.Must(source.Artifact(t.Context(), d, size))(t), testlog.Must(target.Artifact(t.Context(), d, size))(t)
		if !bytes.Equal(was, is) {
			t.Errorf("%s has %d bytes, and had %d", d, len(is), len(was))
		}
	}

	spoil(from, all[7])
	empty := openDir(t, t.TempDir(), artifact.Options{})
	c = testlog.Must(artifact.Copy(t.Context(), empty, source, func(int, int) {}))(t)
	if c.Artifacts != len(all)-1 || len(c.Damaged) != 1 || c.Damaged[0] != all[7] {
		t.Errorf("%+v", c)
	}
	if _, err := empty.Stat(t.Context(), all[7]); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("what is damaged: %v", err)
	}
	if _, err := artifact.Copy(t.Context(), openDir(t, t.TempDir(), artifact.Options{MaxSize: 5000}), source, func(int, int) {}); !errors.Is(err, artifact.ErrTooLarge) {
		t.Errorf("a store that takes less: %v", err)
	}
}
