package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cloud.google.com/go/spanner/apiv1/spannerpb"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/aws"
	"github.com/conmotion/conmotion/storage/gcp"
)

// steps are what the lives of a process ask of the database and of the bucket. A kind of
// step is what is asked, and what was changed last before it; all that changes nothing of the
// log is the same.
type steps struct {
	few     bool // a kind is what is asked and changes something, whatever was before it
	mu      sync.Mutex
	killed  []string // before which kinds
	changed string
}

// life is one of them.
type life struct {
	*steps
	process *process // that is killed before a kind of step that is new; nil for none
	ended   bool
}

const nothing = "nothing"

var (
	digits = regexp.MustCompile(`[0-9]+`)
	// inserted is in a request that writes an object of GCS.
	inserted = regexp.MustCompile(`"name":"([^"]+)"`)
)

// request is what is sent to S3, GCS or MySQL; "" when it is the rest of something, or when
// a statement is only prepared, which prepared gets then.
func request(sent []byte, prepared *string) (what string) {
	if line, _, ok := strings.Cut(string(sent), "?x-id="); ok {
		what = line
	} else if bytes.HasPrefix(sent, []byte("GET ")) {
		what = "GET"
	} else if m := inserted.FindSubmatch(sent); m != nil {
		what = "PUT /" + string(m[1])
	}
	for len(sent) > 4 { // packets of MySQL; after one that closes a statement another one is sent at once
		length := int(sent[0]) | int(sent[1])<<8 | int(sent[2])<<16
		if length == 0 || length > len(sent)-4 {
			break
		}
		switch text := string(sent[5 : 4+length]); sent[4] {
		case 0x03: // COM_QUERY
			what = text
		case 0x16: // COM_STMT_PREPARE
			*prepared = text
		case 0x17: // COM_STMT_EXECUTE
			what = *prepared
		}
		sent = sent[4+length:]
	}
	return kind(what)
}

// spannerRequest is what a request asks of Spanner.
func spannerRequest(method string, message []byte) (what string) {
	var commit spannerpb.CommitRequest
	var statement spannerpb.ExecuteSqlRequest
	switch {
	case method == "Commit" && proto.Unmarshal(message, &commit) == nil && len(commit.Mutations) > 0:
		var tables []string
		for _, m := range commit.Mutations {
			tables = append(tables, cmp.Or(m.GetInsert().GetTable(), m.GetUpdate().GetTable(), m.GetDelete().GetTable()))
		}
		slices.Sort(tables)
		return "COMMIT of " + strings.Join(slices.Compact(tables), ", ")
	case strings.HasPrefix(method, "Execute") && proto.Unmarshal(message, &statement) == nil:
		return kind(statement.Sql)
	}
	return nothing
}

// kind is a request without its numbers, or nothing.
func kind(what string) string {
	switch verb, _, _ := strings.Cut(what, " "); {
	case verb == "GET", verb == "SET", verb == "START", verb == "ROLLBACK", strings.Contains(what, " SET expires "), verb == "SELECT" && !strings.HasSuffix(what, "FOR UPDATE"):
		return nothing
	}
	what, _, _ = strings.Cut(digits.ReplaceAllString(what, "0"), "(")
	return what
}

// show is for a connection to S3, GCS or MySQL.
func (l *life) show() func([]byte) bool {
	prepared := ""
	return func(sent []byte) bool { return l.step(request(sent, &prepared)) }
}

// pass is for requests to Spanner.
func (l *life) pass(method string, message []byte) error {
	if !l.step(spannerRequest(method, message)) {
		return grpcstatus.Error(codes.Unavailable, "the process has ended")
	}
	return nil
}

// step kills the process before a kind of step that no life ended before, and reports whether
// the request is passed on: nothing of a life that has ended is.
func (l *life) step(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := what + " after " + l.changed
	if l.few {
		kind = what
	}
	if !l.ended && l.process != nil && what != "" && !slices.Contains(l.killed, kind) && !(l.few && what == nothing) {
		l.ended, l.killed = true, append(l.killed, kind)
		_ = l.process.cmd.Process.Kill() // it runs
	}
	switch {
	case what == "COMMIT" && !strings.HasPrefix(l.changed, what):
		l.changed = "COMMIT of " + l.changed
	case strings.HasPrefix(what, "PUT "), strings.HasPrefix(what, "UPDATE "), strings.HasPrefix(what, "COMMIT of "):
		l.changed = what
	}
	return !l.ended
}

// live has a process killed before the next new kind of step; nil has it live. It reports
// whether it was killed.
func (l *life) live(p *process) (killed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process, l.changed = p, ""
	return l.ended
}

// endLease ends the lease of a writer that was killed, so that nobody waits until it runs out.
func endLease(t *testing.T, servers parts.Cloud, b parts.Bucket, url string) {
	t.Helper()
	o := storage.WriterOptions{Logger: slog.New(slog.DiscardHandler)}
	var db interface {
		Term(context.Context) (uint64, error)
		Release(context.Context, uint64) error
		Close() error
	}
	if s, ok := servers.(*parts.AWS); ok {
		bucket, database := testlog.Must(aws.ParseBucket(b.Location))(t), testlog.Must(aws.ParseDatabase(url, s.Password))(t)
		db = testlog.Must(aws.New(t.Context(), aws.Config{Bucket: bucket, Database: database, Writer: o}))(t).Database
	} else {
		bucket, database := testlog.Must(gcp.ParseBucket(b.Location))(t), testlog.Must(gcp.ParseDatabase(url))(t)
		db = testlog.Must(gcp.New(t.Context(), gcp.Config{Bucket: bucket, Database: database, Writer: o}))(t).Database
	}
	if err := errors.Join(db.Release(t.Context(), testlog.Must(db.Term(t.Context()))(t)), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestBetweenSteps kills a writer between every two steps of a batch: before each kind of
// request to the database and to the bucket, in one life after the other, until a batch
// passes in which there is none that is new. Nothing that was acknowledged is lost, no entry
// is twice in the log, and what was not answered can be registered again. With Spanner, whose
// emulator is slow, it is each kind of change, unless all faults are asked for.
func TestBetweenSteps(t *testing.T) { cloud.Each(t, betweenSteps) }

func betweenSteps(t *testing.T, servers parts.Cloud) {
	database, bucket := servers.Servers()
	_, emulated := servers.(*parts.GCP)
	s := &steps{few: emulated && os.Getenv(allFaults) == ""}
	b := testlog.Must(servers.NewBucket(t.Context(), true))(t)
	url := testlog.Must(servers.NewDatabase(t.Context()))(t)
	address := testwait.Address(t)
	args := []string{"--dir", t.TempDir(), "--issuer", "http://transparency.example", "--listen", address, "--search=false", "--rate", "0",
		"--storage", b.Location, "--database", url}
	a := &acknowledged{receipts: map[string][]byte{}, key: testlog.Key(t, "ES256")}
	var checker *testlog.Checker
	var vkeys []string
	for n := range 200 {
		l := &life{steps: s}
		toDatabase := func() string { return newCut(t, database, l.show).address }
		if emulated {
			toDatabase = func() string { return parts.Gate(t, database, l.pass) }
		}
		behind := strings.NewReplacer(database, toDatabase(), bucket, newCut(t, bucket, l.show).address)
		p := startBehind(t, servers, behind, args...)
		p.url = "http://" + address // the issuer is not where it listens
		if checker == nil {
			_, body := p.get("/.well-known/transparency-configuration")
			vkeys = testlog.Must(scitt.ParseConfiguration(body))(t).CheckpointKeys
			checker = testlog.NewChecker(t, b.URL, vkeys, p.keys())
		}
		checker.Check(t, a.receipts)
		// New statements, and those that were not answered before.
		batch := a.unsure
		a.unsure = nil
		for i := range 2 {
			batch = append(batch, string(testlog.Statement(t, a.key, "asset", fmt.Append(nil, n, i))))
		}
		l.live(p)
		var group sync.WaitGroup
		for _, statement := range batch {
			group.Go(func() {
				status, receipt, err := p.post(t.Context(), []byte(statement), "wait=60")
				a.note(t, statement, status, receipt, err)
			})
		}
		group.Wait()
		killed := l.live(nil) // perhaps when all was answered
		if t.Failed() {
			t.Fatal(p.stderr)
		}
		if !killed && len(a.unsure) == 0 {
			a.check(t, p, checker)
			replay(t, b.URL, vkeys)
			break
		}
		_ = p.signal(syscall.SIGKILL) // it was killed
		endLease(t, servers, b, url)
	}
	t.Logf("killed before %d kinds of steps, %d receipts:\n%s", len(s.killed), len(a.receipts), strings.Join(s.killed, "\n"))
	musts := []string{"COMMIT after ", "FOR UPDATE after ", "/tile/entries/0.p/0", "/checkpoint"}
	if emulated {
		musts = []string{"COMMIT of Seq, SeqCoord, conmotion_writer", "COMMIT of IntCoord, Seq", "COMMIT of PubCoord", "/tile/entries/0.p/0", "/checkpoint"}
	}
	for _, must := range musts {
		if !slices.ContainsFunc(s.killed, func(kind string) bool { return strings.Contains(kind, must) }) {
			t.Errorf("not killed at %s: this was no test", must)
		}
	}
}
