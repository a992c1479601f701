package daemon_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwitness"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// BenchmarkWitnessed registers statements at a service without witnesses and at one with a
// quorum of 2 of 3 on this machine, in turns and with the same interval: the ratio of what
// they take in, and how long a Receipt takes when there is little to do.
func BenchmarkWitnessed(b *testing.B) {
	const interval = time.Second
	configure := func(c *daemon.Config) {
		c.BatchMaxAge, c.CheckpointInterval = storage.DefaultBatchMaxAge, interval
	}
	plain, cosigned := newService(b, configure), newService(b, configure)
	c := testlog.Must(scitt.ParseConfiguration(cosigned.do("GET", "/"+tiles.ConfigurationPath, nil).body))(b)
	var w []*testwitness.Witness
	for _, name := range []string{"w0.example", "w1.example", "w2.example"} {
		w = append(w, testwitness.Start(b, name, scitt.NoteVKey(c.CheckpointKeys)))
	}
	cosigned.stop()
	cosigned.config.WitnessPolicy = filepath.Join(b.TempDir(), "policy")
	if err := os.WriteFile(cosigned.config.WitnessPolicy, []byte(testwitness.Policy(2, w...)), 0o600); err != nil {
		b.Fatal(err)
	}
	cosigned.start()
	var took [2]time.Duration
	var alone [2][]time.Duration
	// register registers statements, each after a while, and gives how long each took.
	register := func(s *service, statements [][]byte, within time.Duration) []time.Duration {
		var mu sync.Mutex
		var all []time.Duration
		var group sync.WaitGroup
		for _, data := range statements {
			group.Go(func() {
				if within > 0 {
					<-time.After(rand.N(within))
				}
				start := time.Now()
				st, err := scitt.ParseStatement(data)
				if err == nil {
					_, err = s.Register(b.Context(), st)
				}
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, time.Since(start))
			})
		}
		group.Wait()
		return all
	}
	for b.Loop() {
		for i, s := range []*service{plain, cosigned} {
			all := statements(b, 3000) // at once, fewer than may wait
			start := time.Now()
			register(s, all, 0)
			took[i] += time.Since(start)
			alone[i] = append(alone[i], register(s, statements(b, 100), 5*interval)...)
		}
	}
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "throughput-ratio")
	for i, name := range []string{"p50-ms-without", "p50-ms-with"} {
		slices.Sort(alone[i])
		b.ReportMetric(float64(alone[i][len(alone[i])/2].Milliseconds()), name)
	}
}
