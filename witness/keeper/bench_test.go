package keeper

import (
	"strconv"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// BenchmarkJudge has a log of so many registrations a second cosigned as audited, once a
// second: the metric is how many seconds of such a log are judged in a second.
func BenchmarkJudge(b *testing.B) {
	const perSecond, seconds = 5000, 6
	w := &world{TB: b, keys: testlog.NewKeys(b), dir: b.TempDir(), pulls: true}
	alice := testlog.FixedKey(b, "alice")
	w.entries = w.keys.Begin(b, alicesPolicy(b, ""))
	for len(w.entries) < perSecond*seconds {
		st := testlog.Must(scitt.SignStatement(alice, scitt.SignOptions{Subject: "asset"}, []byte(strconv.Itoa(len(w.entries)))))(b)
		w.entries = append(w.entries, testlog.Must(scitt.ParseStatement(st))(b).Entry())
	}
	w.files.Publish(b, w.keys, w.entries)
	w.start()
	for b.Loop() {
		b.StopTimer()
		w.stop()
		w.dir = b.TempDir()
		w.start()
		took := time.Duration(0)
		for size := perSecond; size <= len(w.entries); size += perSecond {
			r := w.request(size)
			start := time.Now()
			b.StartTimer()
			if !w.audits(r) {
				b.Fatalf("size %d is not audited", size)
			}
			b.StopTimer()
			took += time.Since(start)
		}
		b.ReportMetric(seconds/took.Seconds(), "seconds/s")
		b.StartTimer()
	}
}
