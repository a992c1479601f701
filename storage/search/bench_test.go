package search

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testcpu"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/projection"
	"github.com/conmotion/conmotion/tiles"
)

// benchSize is how many entries the benchmarks index. A million takes a
// machine some minutes, most of them for making the entries:
//
//	SEARCH_BENCH_ENTRIES=1000000 go test ./storage/search -run '^$' -bench Million -benchtime 1x -timeout 1h
//
// With SEARCH_BENCH_DIR the log and the index stay in that directory, and the
// next run only asks.
func benchSize() int {
	if n, err := strconv.Atoi(os.Getenv("SEARCH_BENCH_ENTRIES")); err == nil {
		return n
	}
	return 100_000
}

// bundleDir is a log's entry bundles in files, as tiles are.
type bundleDir string

func (d bundleDir) ReadEntryBundle(_ context.Context, n uint64, p uint8) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), filepath.FromSlash(tiles.BundlePath(n, int(p)))))
}

// write makes the bundles of l from entry first on and tells their size.
func (d bundleDir) write(b testing.TB, l memLog, first int) (size int64) {
	b.Helper()
	for i := 0; i < len(l); i += tiles.Width {
		part := l[i:min(len(l), i+tiles.Width)]
		var data []byte
		for _, e := range part {
			data = append(data, byte(len(e)>>8), byte(len(e)))
			data = append(data, e...)
		}
		path := filepath.Join(string(d), filepath.FromSlash(tiles.BundlePath(uint64((first+i)/tiles.Width), len(part))))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
		size += int64(len(data)) + 32*int64(len(part)) // and the tile of hashes
	}
	return size
}

// BenchmarkMillion indexes a log from its bundles and then asks. It reports
// what the package promises: entries per second, memory, disk, and latencies.
func BenchmarkMillion(b *testing.B) {
	n := benchSize()
	keep := os.Getenv("SEARCH_BENCH_DIR")
	dir := bundleDir(cmp.Or(keep, b.TempDir()))
	cp, tileBytes := benchLog(b, dir, n)
	debug.FreeOSMemory()
	for b.Loop() {
		path := filepath.Join(cmp.Or(keep, b.TempDir()), "search.db")
		x := openIndex(b, path, Options{})
		memory, stop := watchMemory()
		if left := uint64(n) - x.Next(); left > 0 {
			used, start := testcpu.Process(b), time.Now()
			if err := x.CatchUp(b.Context(), cp, projection.Bundles{BundleReader: dir, Size: uint64(n)}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(left)/time.Since(start).Seconds(), "entries/s")
			b.ReportMetric(float64(testcpu.Process(b)-used)/float64(left)/1e3, "cpu-us/entry")
		}
		latencies(b, x, n)
		stop()
		b.ReportMetric(float64(memory())/(1<<20), "MB-memory")
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
		var disk int64
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if info, err := os.Stat(path + suffix); err == nil {
				disk += info.Size()
			}
		}
		b.ReportMetric(float64(disk)/float64(tileBytes), "disk/tiles")
	}
	b.ReportMetric(0, "ns/op")
}

// benchLog makes the bundles of a log of n entries, or finds them: its
// checkpoint, and the size of its files with the tiles of hashes.
func benchLog(b *testing.B, dir bundleDir, n int) (*scitt.Checkpoint, int64) {
	b.Helper()
	type kept struct {
		Checkpoint *scitt.Checkpoint
		Bytes      int64
	}
	file := filepath.Join(string(dir), "bench.json")
	var k kept
	if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &k) == nil && k.Checkpoint.Size == uint64(n) {
		return k.Checkpoint, k.Bytes
	}
	tree := treeRange.NewEmptyRange(0)
	const part = 100 * tiles.Width
	for first := 0; first < n; first += part {
		l := eventLog(b, first, min(part, n-first))
		k.Bytes += dir.write(b, l, first)
		for _, e := range l {
			if err := tree.Append(scitt.LeafHash(e), nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		b.Fatal(err)
	}
	k.Checkpoint = &scitt.Checkpoint{Origin: "bench.example", Size: uint64(n), Root: root}
	data, err := json.Marshal(k)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		b.Fatal(err)
	}
	return k.Checkpoint, k.Bytes
}

// watchMemory gives the largest resident size of the process, in bytes. It
// is of all that the process has: Go's memory and the database's. Where there
// is no /proc it is 0.
func watchMemory() (largest func() uint64, stop func()) {
	var most uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			var pages, resident uint64
			statm, _ := os.ReadFile("/proc/self/statm")
			_, _ = fmt.Sscan(string(statm), &pages, &resident)
			most = max(most, resident*uint64(os.Getpagesize()))
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { return most }, func() { close(done); <-ended }
}

// latencies reports for each kind of query the time that it takes, and the
// processor time, which does not depend on what else the machine does.
func latencies(b *testing.B, x *Index, n int) {
	// As conmotiond, which is what answers queries.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(224 << 20))
	rnd := rand.New(rand.NewPCG(1, 2))
	page := ask(b, x, "limit=1000&order=desc")
	for _, c := range []struct {
		name string
		ask  func() string
	}{
		{"id", func() string { return "entry=" + page.Entries[rnd.IntN(len(page.Entries))].Entry }},
		{"iss+sub", func() string {
			i := rnd.IntN(n)
			return fmt.Sprintf("iss=https://provider-%d.example&sub=asset/%d", i%10, i/3)
		}},
		{"two-fields", func() string {
			return fmt.Sprintf("f.resources.region=eu-west-%d&f.severity_id=>=%d", rnd.IntN(7), rnd.IntN(6))
		}},
		{"two-rare-fields", func() string {
			return fmt.Sprintf("f.cloud.account.name=tenant %d&f.resources.data.cpus=%d", rnd.IntN(1000), 1<<rnd.IntN(6))
		}},
		{"field-time", func() string {
			at := 1750000000000 + int64(rnd.IntN(n))*137
			return fmt.Sprintf("class_uid=5023&from=%d&to=%d", at, at+3_600_000)
		}},
		{"newest", func() string { return "class_uid=5023&event_code=inventory.create&order=time-desc" }},
		{"q", func() string { return fmt.Sprintf("q=volume backup tenant %d", rnd.IntN(1000)) }},
		{"q-dense", func() string { return "q=ubuntu inventory create" }},
	} {
		var times, worked []time.Duration
		for range 200 {
			query := c.ask()
			q := parseQuery(b, query)
			used, start := testcpu.Process(b), time.Now()
			if _, err := x.Search(b.Context(), q); err != nil {
				b.Fatal(query, err)
			}
			times = append(times, time.Since(start))
			worked = append(worked, testcpu.Process(b)-used)
		}
		slices.Sort(times)
		slices.Sort(worked)
		b.ReportMetric(float64(worked[len(worked)*99/100])/1e6, "p99-cpu-ms-"+c.name)
		b.ReportMetric(float64(times[len(times)/2])/1e6, "p50-ms-"+c.name)
		b.ReportMetric(float64(times[len(times)*99/100])/1e6, "p99-ms-"+c.name)
	}
}

// BenchmarkVerified indexes a log from its static files, each entry verified
// against the checkpoint, as conmotion index and conmotiond --search-of do.
func BenchmarkVerified(b *testing.B) {
	const n = 50_000
	view := eventLog(b, 0, n).published(b)
	for b.Loop() {
		x := openIndex(b, "", Options{})
		used, start := testcpu.Process(b), time.Now()
		if err := errors.Join(x.Extends(b.Context(), view), x.CatchUp(b.Context(), view.Checkpoint, view)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(n/time.Since(start).Seconds(), "entries/s")
		b.ReportMetric(float64(testcpu.Process(b)-used)/n/1e3, "cpu-us/entry")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLive indexes as a running service does, some entries at a time.
func BenchmarkLive(b *testing.B) {
	const n = 20_000
	l := eventLog(b, 0, n)
	for _, step := range []int{100, 1000, 5000} {
		b.Run(strconv.Itoa(step), func(b *testing.B) {
			var at []*scitt.Checkpoint
			for size := step; size <= n; size += step {
				at = append(at, l.checkpoint(size))
			}
			for b.Loop() {
				x := openIndex(b, "", Options{})
				used := testcpu.Process(b)
				for _, cp := range at {
					if err := x.CatchUp(b.Context(), cp, l); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(testcpu.Process(b)-used)/n/1e3, "cpu-us/entry")
			}
		})
	}
}
