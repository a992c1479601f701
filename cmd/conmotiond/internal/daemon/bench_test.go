package daemon_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage"
)

// statements signs n distinct statements of about 1 KiB.
func statements(b *testing.B, n int) [][]byte {
	b.Helper()
	key := testlog.Key(b, "ES256")
	all := make([][]byte, n)
	payload := make([]byte, 700)
	for i := range all {
		_, _ = rand.Read(payload) // it never fails
		all[i] = testlog.Statement(b, key, "bench", payload)
	}
	return all
}

// many runs do for 0 to b.N-1 with many at once, as a busy service has them.
func many(b *testing.B, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	b.SetParallelism(512)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(int(next.Add(1)) - 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "registrations/s")
}

// BenchmarkRegister is the hot path with everything on, and Tessera's bare
// POSIX appender with the same settings: the ratio says what all the rest
// costs. Run it with -benchtime 50000x or more; for few entries the time
// between checkpoints is all that is measured.
func BenchmarkRegister(b *testing.B) {
	b.Run("bare-tessera", benchmarkTessera)
	b.Run("service", func(b *testing.B) {
		s := benchService(b)
		all := statements(b, b.N)
		many(b, func(i int) error {
			st, err := scitt.ParseStatement(all[i])
			if err != nil {
				return err
			}
			r, err := s.Register(b.Context(), st)
			if err == nil && r.Receipt == nil {
				b.Error("no receipt")
			}
			return err
		})
	})
	b.Run("http", func(b *testing.B) {
		s := benchService(b)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4096}}
		all := statements(b, b.N)
		many(b, func(i int) error {
			resp, err := client.Post(s.server.URL+"/entries", "application/cose", bytes.NewReader(all[i]))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusCreated {
				b.Error(resp.Status)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
	})
}

// BenchmarkChain is one chain of OCSF events, over HTTP: 1,000 of them in a
// request, and one by one, which is the rate of checkpoints. Each operation is
// a statement; run it with -benchtime 20000x, and few for one by one.
func BenchmarkChain(b *testing.B) {
	event := testlog.Must(os.ReadFile("../../../../policy/ocsf/testdata/inventory_provider.json"))(b)
	key, admin := testlog.Key(b, "ES256"), testlog.Key(b, "ES256")
	for name, size := range map[string]int{"bulk": scitt.MaxSequence, "one-by-one": 1} {
		b.Run(name, func(b *testing.B) {
			policy := withPolicy(b, document(b, key, admin, "", map[string]any{"chain": "required", "ocsf": map[string]any{"mode": "enforce"}}))
			s := newService(b, func(c *daemon.Config) { policy(c); c.BatchMaxAge = storage.DefaultBatchMaxAge })
			c := testlog.Must(client.New(s.server.URL, client.Options{}))(b)
			var all [][]byte
			link := scitt.ChainLink{Name: "c"}
			for range b.N {
				l := link
				data := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", ContentType: "application/json", Chain: &l}, event))(b)
				id := testlog.Must(scitt.ParseStatement(data))(b).ID()
				link.Seq, link.Prev = link.Seq+1, id[:]
				all = append(all, data)
			}
			b.ResetTimer()
			for part := range slices.Chunk(all, size) {
				if _, err := c.RegisterAll(b.Context(), part); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "registrations/s")
		})
	}
}

func benchService(b *testing.B) *service {
	b.Helper()
	return newService(b, func(c *daemon.Config) { c.BatchMaxAge = storage.DefaultBatchMaxAge })
}

func benchmarkTessera(b *testing.B) {
	keys := testlog.NewKeys(b)
	driver := testlog.Must(posix.New(b.Context(), posix.Config{Path: b.TempDir()}))(b)
	opts := tessera.NewAppendOptions().WithCheckpointSigner(keys.Note, keys.Tree).
		WithBatching(storage.DefaultBatchMaxSize, storage.DefaultBatchMaxAge).
		WithCheckpointInterval(storage.DefaultCheckpointInterval).WithPushback(storage.DefaultPushback)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, opts)
	if err != nil {
		b.Fatal(err)
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 5*time.Millisecond)
	all := statements(b, b.N)
	many(b, func(i int) error {
		_, _, err := awaiter.Await(ctx, appender.Add(ctx, tessera.NewEntry(all[i])))
		return err
	})
	if err := shutdown(context.Background()); err != nil {
		b.Error(err)
	}
}

// BenchmarkReceipt makes receipts of a filled log: what GET /entries/{id} does
// beyond HTTP.
func BenchmarkReceipt(b *testing.B) {
	s := benchService(b)
	all := statements(b, 2000)
	var ids []scitt.EntryID
	for _, data := range all {
		st := testlog.Must(scitt.ParseStatement(data))(b)
		ids = append(ids, st.ID())
		ctx, cancel := context.WithTimeout(b.Context(), 0)
		_ = testlog.Must(s.Register(ctx, st))(b)
		cancel()
	}
	s.register(all[len(all)-1])
	h := s.Handler()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/entries/"+ids[i%len(ids)].String(), nil))
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
