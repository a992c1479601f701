package artifact_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/internal/artifacttest"
)

var sizes = []int{2 << 10, 1 << 20, 256 << 20}

// BenchmarkPut stores new artifacts, each synced to the disk.
func BenchmarkPut(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			d := openDir(b, b.TempDir(), artifact.Options{})
			data := artifacttest.Bytes(1, size)
			var n atomic.Uint64
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var head [8]byte
				binary.LittleEndian.PutUint64(head[:], n.Add(1))
				r := io.MultiReader(bytes.NewReader(head[:]), bytes.NewReader(data[8:]))
				if _, created, err := d.Put(b.Context(), r, artifact.Want{}); err != nil || !created {
					b.Fatalf("created %v, %v", created, err)
				}
			}
		})
	}
}

// BenchmarkPutParallel stores new small artifacts from many goroutines.
func BenchmarkPutParallel(b *testing.B) {
	d := openDir(b, b.TempDir(), artifact.Options{})
	var n atomic.Uint64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		data := artifacttest.Bytes(1, 2<<10)
		for pb.Next() {
			binary.LittleEndian.PutUint64(data, n.Add(1))
			if _, _, err := d.Put(b.Context(), bytes.NewReader(data), artifact.Want{}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkOpenCold is the first use of an artifact after a start, up to its
// first byte.
func BenchmarkOpenCold(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			root := b.TempDir()
			d, err := artifact.OpenDir(root, artifact.Options{})
			if err != nil {
				b.Fatal(err)
			}
			info, _, err := d.Put(b.Context(), bytes.NewReader(artifacttest.Bytes(1, size)), artifact.Want{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				d.Close()
				if d, err = artifact.OpenDir(root, artifact.Options{}); err != nil {
					b.Fatal(err)
				}
				r, _, err := d.Open(b.Context(), info.Digest)
				if err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
			d.Close()
		})
	}
}

// BenchmarkRead reads an artifact, in whole or 1 KiB in the middle, that was
// used before.
func BenchmarkRead(b *testing.B) {
	for _, size := range sizes {
		d := openDir(b, b.TempDir(), artifact.Options{})
		info, _, err := d.Put(b.Context(), bytes.NewReader(artifacttest.Bytes(1, size)), artifact.Want{})
		if err != nil {
			b.Fatal(err)
		}
		run := func(name string, from, n int64) {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				b.SetBytes(n)
				b.ReportAllocs()
				for b.Loop() {
					r, _, err := d.Open(b.Context(), info.Digest)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := r.Seek(from, io.SeekStart); err != nil {
						b.Fatal(err)
					}
					if _, err := io.CopyN(io.Discard, r, n); err != nil {
						b.Fatal(err)
					}
					r.Close()
				}
			})
		}
		run("whole", 0, int64(size))
		run("range", int64(size)/2, 1<<10)
	}
}
