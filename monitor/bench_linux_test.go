package monitor

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"iter"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/internal/testcpu"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// The target of the design is 1,000,000; go test -run none -bench Compare -benchtime 1x -records 1000000.
var benchRecords = flag.Int("records", 100_000, "records in each log of the benchmark")

// benchEvent is an event, and the asset that went when it happened without anybody saying so.
type benchEvent struct {
	object
	vanished string
}

// benchEvents are the events of one infrastructure: of ten, three create an
// asset, four make or modify configurations, two modify assets and one deletes;
// half of these deletions nobody tells. Of every hundred assets, a partial account leaves
// one out, and of every hundred configurations it has one otherwise.
func benchEvents(n int, partial bool) iter.Seq[benchEvent] {
	return func(yield func(benchEvent) bool) {
		for i, e := range allEvents(n) {
			resource, vanished := e["resources"].([]object)[0], ""
			uid := resource["uid"].(string)
			if e["metadata"].(object)["event_code"] == "inventory.delete" && i%2 == 0 {
				vanished = uid
			}
			if partial && strings.HasSuffix(uid, "00") || vanished != "" {
				e = inventory(Modify, noon+int64(i)*100, "filler") // in its place
			}
			if data, ok := resource["data"].(object); ok && partial && i%100 == 0 {
				data["encrypted"] = false
			}
			if !yield(benchEvent{e, vanished}) {
				return
			}
		}
	}
}

func allEvents(n int) iter.Seq2[int, object] {
	return func(yield func(int, object) bool) {
		rng := mathrand.New(mathrand.NewPCG(1, 1))
		var alive []string
		next := 0
		uid := func() string { return alive[rng.IntN(len(alive))] }
		for i := range n {
			ms := noon + int64(i)*100
			var e object
			switch k := rng.IntN(10); {
			case k < 3 || len(alive) < 10:
				u := fmt.Sprintf("arn:cloud:compute:eu-central-1:340287110954:instance/i-%016d", next)
				next++
				alive = append(alive, u)
				e = inventory(Create, ms, u)
			case k < 7:
				e = configured(Modify, ms, uid(), object{"image": "debian-13", "encrypted": true, "ports": []int{22, 443},
					"revision": rng.IntN(3), "tags": object{"team": "retail", "stage": "prod"}})
			case k < 9:
				e = inventory(Modify, ms, uid())
			default:
				at := rng.IntN(len(alive))
				e = inventory(Delete, ms, alive[at])
				alive[at] = alive[len(alive)-1]
				alive = alive[:len(alive)-1]
			}
			e["message"] = "a change that somebody describes in a sentence"
			e["cloud"] = object{"provider": "Northwind Cloud", "region": "eu-central-1", "account": object{"uid": "340287110954"}}
			if !yield(i, e) {
				return
			}
		}
	}
}

// benchScans is how many complete scans are in a log of the benchmark: what vanished is gone by their word.
const benchScans = 20

// benchLog is a log in files of ES256 records, the costliest kind to verify that is common, and of scans.
func benchLog(b *testing.B, typ string, n int, partial bool) (Log, Filter) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(b)
	filter := Filter{Types: []string{typ}}
	type signed struct {
		statement *scitt.Statement
		event     *Event
		vanished  string
	}
	sign := func(payload []byte, o scitt.SignOptions, ms int64) *scitt.Statement {
		o.Type, o.IssuedAt = cmp.Or(o.Type, typ), at(ms)
		return must(scitt.ParseStatement(must(scitt.SignStatement(key, o, payload))(b)))(b)
	}
	record := func(e benchEvent) signed {
		kind, _, _ := parseCode(e.object["metadata"].(object)["event_code"].(string))
		r := must(NewRecord(encode(e.object), kind, ""))(b)
		return signed{sign(r.Payload, scitt.SignOptions{Subject: r.Event.Subject(), ContentType: ContentType}, r.Event.Time), r.Event, e.vanished}
	}
	replay := NewReplay(filter, nil)
	replay.checkpoint.Origin = typ
	artifacts := blobs{} // of scans that do not fit into an entry
	var entries [][]byte
	there := map[string]bool{}
	records := 0
	for s := range parallel.Map(benchEvents(n, partial), 64, record) {
		if !replay.Register(s.statement, s.event, uint64(len(entries))) {
			b.Fatal("the replay is behind")
		}
		entries = append(entries, s.statement.Entry())
		for _, uid := range s.event.Assets {
			there[uid] = s.event.Action != Delete
		}
		delete(there, s.vanished)
		if records++; records%(n/benchScans) > 0 {
			continue
		}
		now := s.event.Time + 1
		scan, _ := replay.NewScan(s.statement.Issuer, Seen{Of: typ, Started: at(now), Ended: at(now), Assets: there, Empty: true})
		payload, o, err := scan.ToSign()
		if err != nil {
			b.Fatal(err)
		}
		o.Hash, o.Location = true, "https://northwind.example/scan"
		artifacts[sha256.Sum256(payload)] = payload
		st := sign(payload, o, now+1000)
		rec := newRecord(st)
		rec.Index, rec.Time, rec.scan = uint64(len(entries)), now, scan
		replay.apply(rec)
		replay.next++
		entries = append(entries, st.Entry())
	}
	dir := b.TempDir()
	cp := writeLog(typ, entries, func(path string, data []byte) {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			b.Fatal(err)
		}
	})
	view := must(tiles.NewTree(tiles.Dir(dir)).At(b.Context(), cp))(b)
	return NewLog(view, artifacts, scitt.SelfCertifying(nil, nil).Verifier(nil)), filter
}

// bareVerifications are of ES256 signatures by Go's ECDSA and no more, on all cores, between those of what is measured.
type bareVerifications struct {
	pause  sync.RWMutex
	others atomic.Int64 // verifications between which they are made
	n      int64
	used   atomic.Int64  // nanoseconds of processor time
	paused time.Duration // of what is measured
}

// between is verify, where of every 20,000 calls one makes bare verifications while the others wait.
func (m *bareVerifications) between(b *testing.B, verify func(*scitt.Statement) error) func(*scitt.Statement) error {
	return func(s *scitt.Statement) error {
		if m.others.Add(1)%20_000 == 1 {
			m.pause.Lock()
			m.measure(b)
			m.pause.Unlock()
		}
		m.pause.RLock()
		defer m.pause.RUnlock()
		return verify(s)
	}
}

func (m *bareVerifications) measure(b *testing.B) {
	const each = 1000
	began, cores := time.Now(), runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for range cores {
		wg.Go(func() { m.used.Add(int64(testcpu.ES256(b, each))) })
	}
	wg.Wait()
	m.n += int64(each * cores)
	m.paused += time.Since(began)
}

// BenchmarkCompare replays and compares two logs from their tiles on disk,
// with and without verifying every signature. It says how large the heap was
// at most, what a record costs in processor time, and which share it reaches of the bare ES256 verifications in between.
func BenchmarkCompare(b *testing.B) {
	n := *benchRecords
	reported, filter := benchLog(b, scitt.TypeRecord, n, true)
	observed, filterO := benchLog(b, scitt.TypeObservation, n, false)
	for _, verify := range []bool{true, false} {
		b.Run(fmt.Sprintf("verify=%v", verify), func(b *testing.B) {
			var bare bareVerifications
			reported, observed := reported, observed
			reported.Verify, observed.Verify = nil, nil
			if verify {
				checks := bare.between(b, scitt.SelfCertifying(nil, nil).Verifier(nil))
				reported.Verify, observed.Verify = checks, checks
			}
			runtime.GC()
			done, peak := make(chan struct{}), make(chan uint64)
			go watch(done, peak)
			begin := testcpu.Process(b)
			for b.Loop() {
				end := at(noon + int64(n)*100 + minute)
				c, err := Compare(b.Context(), Party{reported, filter, nil}, Party{observed, filterO, nil}, Interval{at(noon), end, 15 * time.Minute, nil})
				if err != nil {
					b.Fatal(err)
				}
				inferred := c.Metrics[Inventory].Inferred
				scans := func(a Anomaly) bool { return a.Kind == AnomalyScan }
				if inferred == 0 || slices.ContainsFunc(slices.Concat(c.Reported.Anomalies, c.Observed.Anomalies), scans) {
					b.Fatalf("%d ends are inferred from scans", inferred)
				}
				b.ReportMetric(float64(inferred), "inferred")
				b.ReportMetric(float64(c.Metrics[Inventory].Union+c.Metrics[Configuration].Union), "objects")
				b.ReportMetric(float64(len(c.Findings)), "findings")
			}
			verifying, records := time.Duration(bare.used.Load()), float64(b.N*2*n)
			used, took := testcpu.Process(b)-begin-verifying, b.Elapsed()-bare.paused
			b.ReportMetric(float64(used.Microseconds())/records, "cpu-us/record")
			if verify {
				one := verifying.Seconds() / float64(bare.n)
				b.ReportMetric(records*one/float64(runtime.GOMAXPROCS(0))/took.Seconds(), "of-bare")
				b.ReportMetric(records*one/used.Seconds(), "of-bare-cpu")
			}
			close(done)
			b.ReportMetric(float64(<-peak)/1e6, "peak-MB")
		})
	}
}

// watch looks at the heap until done, and then says the most it saw.
func watch(done <-chan struct{}, peak chan<- uint64) {
	var most uint64
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		select {
		case <-done:
			peak <- most
			return
		case <-tick.C:
		}
	}
}

// BenchmarkSaved saves a replay and reads it again.
func BenchmarkSaved(b *testing.B) {
	log, filter := benchLog(b, scitt.TypeRecord, *benchRecords, false)
	r := NewReplay(filter, nil)
	if err := r.Advance(b.Context(), log, log.Checkpoint.Size); err != nil {
		b.Fatal(err)
	}
	var saved bytes.Buffer
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			saved.Reset()
			if err := r.Save(&saved); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(r.assets)+len(r.configs)), "objects")
		}
	})
	b.Run("resume", func(b *testing.B) {
		for b.Loop() {
			if _, err := Resume(saved.Bytes()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
