package main

import (
	"database/sql"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/tiles"
)

// allFaults has TestWriterFaults and TestBetweenSteps try all of them: go run ./internal/cloudtest faults.
const allFaults = "CONMOTION_FAULTS"

// cut is a network that can be cut: what is sent meanwhile stays where it is.
type cut struct {
	address string
	mu      sync.Mutex
	whole   chan struct{} // closed while it is not cut
}

// newCut passes connections on to an address. What a client sends is shown before that;
// where the answer is false the connection ends instead. Nil shows it to nobody.
func newCut(t *testing.T, to string, show func() func([]byte) bool) *cut {
	t.Helper()
	l := testlog.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	c := &cut{address: l.Addr().String(), whole: make(chan struct{})}
	close(c.whole)
	t.Cleanup(func() { _ = l.Close() })
	pass := func(dst, src net.Conn, show func([]byte) bool) {
		defer dst.Close()
		defer src.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			c.mu.Lock()
			whole := c.whole
			c.mu.Unlock()
			select {
			case <-whole:
			case <-t.Context().Done():
				return
			}
			if n > 0 && show != nil && !show(buf[:n]) {
				return
			}
			if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close() // as the server would
				continue
			}
			var shown func([]byte) bool
			if show != nil {
				shown = show()
			}
			go pass(server, client, shown)
			go pass(client, server, nil)
		}
	}()
	return c
}

func (c *cut) set(isCut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isCut {
		c.whole = make(chan struct{})
	} else {
		close(c.whole)
	}
}

// stop stops the writer while one of its transactions holds the row of a table: that in
// which entries are sequenced, integrated, or a checkpoint is published.
func (p *pair) stop(table string, g *gate) {
	p.t.Helper()
	servers, ok := p.cloud.(*parts.AWS)
	if !ok {
		g.stop(table, p.public[0].cmd.Process)
		return
	}
	db := p.sql(servers)
	held := func() bool {
		tx := testlog.Must(db.BeginTx(p.t.Context(), nil))(p.t)
		defer func() { _ = tx.Rollback() }() // it only looks
		var id int
		err := tx.QueryRowContext(p.t.Context(), `SELECT id FROM `+table+` WHERE id = 0 FOR UPDATE NOWAIT`).Scan(&id)
		if e, ok := errors.AsType[*mysql.MySQLError](err); err != nil && (!ok || e.Number != 1205) {
			p.t.Fatal(err)
		}
		return err != nil
	}
	process := p.public[0].cmd.Process
	for tries := 1; ; tries++ {
		for !held() {
		}
		if err := process.Signal(syscall.SIGSTOP); err != nil {
			p.t.Fatal(err)
		}
		// What the database had already been sent is done before long.
		holds := true
		for range 20 {
			holds = holds && held()
		}
		if holds {
			p.t.Logf("the writer stands still with %s after %d tries", table, tries)
			return
		}
		if err := process.Signal(syscall.SIGCONT); err != nil {
			p.t.Fatal(err)
		}
	}
}

// sql is a connection to the log's database, without the writer's term, as another
// user: who takes over ends those of its own.
func (p *pair) sql(servers *parts.AWS) *sql.DB {
	p.t.Helper()
	c := testlog.Must(aws.ParseDatabase(p.database, servers.Password))(p.t)
	watcher := c.DBName
	if err := servers.Root(p.t.Context(), `CREATE USER IF NOT EXISTS '`+watcher+`'@'%' IDENTIFIED BY '`+c.Passwd+`'`, `GRANT ALL ON `+c.DBName+`.* TO '`+watcher+`'@'%'`); err != nil {
		p.t.Fatal(err)
	}
	c.User = watcher
	db := sql.OpenDB(testlog.Must(mysql.NewConnector(c))(p.t))
	p.t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestWriterFaults: whatever happens to the writer, another instance goes on in less
// than ten seconds with the default lease; nothing that was acknowledged is lost or
// twice, no chain forks, every entry was admitted by the policy in force, and the
// old writer adds nothing when it is well again.
func TestWriterFaults(t *testing.T) { cloud.Each(t, writerFaults) }

func writerFaults(t *testing.T, servers parts.Cloud) {
	databaseServer, bucketServer := servers.Servers()
	_, emulated := servers.(*parts.GCP)
	type way struct {
		database, bucket *cut
		gate             *gate // before Spanner
	}
	stopped := func(table string) func(*pair, way) {
		return func(p *pair, w way) { p.stop(table, w.gate) }
	}
	killed := func(table string) func(*pair, way) {
		return func(p *pair, w way) {
			p.stop(table, w.gate)
			_ = p.public[0].signal(syscall.SIGKILL) // it was killed
		}
	}
	wake := func(p *pair, w way) {
		if os.Getenv(allFaults) != "" {
			time.Sleep(time.Minute) // longer than the database lets anybody wait for a lock
		}
		if w.gate != nil {
			w.gate.open()
		}
		if err := p.public[0].cmd.Process.Signal(syscall.SIGCONT); err != nil {
			p.t.Fatal(err)
		}
	}
	cuts := func(isCut, database, bucket bool) func(*pair, way) {
		return func(_ *pair, w way) {
			if database {
				w.database.set(isCut)
			}
			if bucket {
				w.bucket.set(isCut)
			}
		}
	}
	for _, fault := range []struct {
		name           string
		always         bool // also in a short run
		begin, recover func(*pair, way)
	}{
		{"stopped while it sequences", emulated, stopped("SeqCoord"), wake},
		{"stopped while it integrates", false, stopped("IntCoord"), wake},
		{"stopped while it publishes", false, stopped("PubCoord"), wake},
		{"killed while it sequences", false, killed("SeqCoord"), nil},
		{"killed while it integrates", false, killed("IntCoord"), nil},
		{"killed while it publishes", false, killed("PubCoord"), nil},
		{"cut from the database", false, cuts(true, true, false), cuts(false, true, false)},
		{"cut from the bucket", false, cuts(true, false, true), cuts(false, false, true)},
		{"cut from both", true, cuts(true, true, true), cuts(false, true, true)},
	} {
		t.Run(fault.name, func(t *testing.T) {
			if !fault.always && os.Getenv(allFaults) == "" {
				t.Skip(allFaults + " is not set: go run ./internal/cloudtest faults")
			}
			var w way
			database := databaseServer
			if emulated {
				w.gate = newGate(t, databaseServer)
				database = w.gate.address
			}
			w.database, w.bucket = newCut(t, database, nil), newCut(t, bucketServer, nil)
			p := newPairBehind(t, servers, strings.NewReplacer(databaseServer, w.database.address, bucketServer, w.bucket.address),
				"--search=false", "--writer-lease", storage.DefaultLease.String())
			checker := p.checker()
			l := &load{receipts: map[string][]byte{}}
			l.more.L = &l.mu
			stop := l.clients(t, p.public[1], fault.name)
			l.await(60)
			fault.begin(p, w)
			began := time.Now()
			p.says(1, "/metrics", "conmotion_writer 1")
			l.await(clients + 1) // one more than what may have been on its way
			took := time.Since(began)
			t.Logf("statements are registered again after %v", took.Round(10*time.Millisecond))
			// A busy machine is not the service's fault, nor is an emulator of Spanner with one transaction at a time.
			if limit := 10 * time.Second; took > limit && os.Getenv(allFaults) != "" && !emulated {
				t.Errorf("taking over took %v, more than %v", took, limit)
			}
			if fault.recover != nil {
				fault.recover(p, w)
				late := testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("late"))
				if status, body, err := p.public[0].post(t.Context(), late, "wait=2"); err == nil && status/100 == 2 {
					t.Errorf("the old writer answers %d %x", status, body)
				}
				if err := p.public[0].signal(syscall.SIGCONT); err == nil {
					t.Error("the old writer ends as if all was well")
				}
			}
			l.await(60)
			stop()
			_, configuration := p.public[1].get("/" + tiles.ConfigurationPath)
			if err := p.public[1].signal(syscall.SIGTERM); err != nil {
				t.Errorf("%v\n%s", err, p.public[1].stderr)
			}
			view := checker.Check(t, l.receipts)
			replay(t, p.bucket.URL, testlog.Must(scitt.ParseConfiguration(configuration))(t).CheckpointKeys)
			t.Logf("%d entries, %d acknowledged", view.Checkpoint.Size, len(l.receipts))
		})
	}
}
