package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
)

// steps are what the lives of a process ask of the database and of the bucket. A kind of
// step is what is asked, and what was changed last before it; all that changes nothing of the
// log is the same.
type steps struct {
	mu      sync.Mutex
	life    int
	process *process // that is killed before a kind of step that is new; nil for none
	killed  []string // before which kinds
	changed string
}

var digits = regexp.MustCompile(`[0-9]+`)

// request is what is sent to S3 or MySQL; "" when it is the rest of something, or when
// a statement is only prepared, which prepared gets then.
func request(sent []byte, prepared *string) (what string) {
	if line, _, ok := strings.Cut(string(sent), "?x-id="); ok {
		what = line
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
	switch verb, _, _ := strings.Cut(what, " "); {
	case verb == "GET", verb == "SET", verb == "START", verb == "ROLLBACK", strings.Contains(what, " SET expires "), verb == "SELECT" && !strings.HasSuffix(what, "FOR UPDATE"):
		return "nothing"
	}
	what, _, _ = strings.Cut(digits.ReplaceAllString(what, "0"), "(")
	return what
}

// show is for a connection of the process as it is now. What it gives kills the process
// before a kind of step that no life ended before; nothing of a life that has ended is passed on.
func (s *steps) show() func([]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	life, prepared := s.life, ""
	return func(sent []byte) bool {
		what := request(sent, &prepared)
		s.mu.Lock()
		defer s.mu.Unlock()
		kind := what + " after " + s.changed
		if life == s.life && what != "" && s.process != nil && !slices.Contains(s.killed, kind) {
			s.life++
			s.killed = append(s.killed, kind)
			_ = s.process.cmd.Process.Kill() // it runs
		}
		switch {
		case what == "COMMIT" && !strings.HasPrefix(s.changed, what):
			s.changed = "COMMIT of " + s.changed
		case strings.HasPrefix(what, "PUT "), strings.HasPrefix(what, "UPDATE "):
			s.changed = what
		}
		return life == s.life
	}
}

// live has a process killed before the next new kind of step; nil has it live.
func (s *steps) live(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.changed = p, ""
}

// TestBetweenSteps kills a writer between every two steps of a batch: before each kind of
// request to the database and to the bucket, in one life after the other, until a batch
// passes in which there is none that is new. Nothing that was acknowledged is lost, no entry
// is twice in the log, and what was not answered can be registered again.
func TestBetweenSteps(t *testing.T) {
	t.Parallel()
	servers := cloud.AWS(t)
	database, bucket := servers.Servers()
	s := &steps{}
	behind := strings.NewReplacer(database, newCut(t, database, s.show).address, bucket, newCut(t, bucket, s.show).address)
	b := testlog.Must(servers.NewBucket(t.Context(), true))(t)
	url := testlog.Must(servers.NewDatabase(t.Context()))(t)
	address := testwait.Address(t)
	args := []string{"--dir", t.TempDir(), "--issuer", "http://transparency.example", "--listen", address, "--search=false", "--rate", "0",
		"--storage", behind.Replace(b.Location), "--database", behind.Replace(url)}
	a := &acknowledged{receipts: map[string][]byte{}, key: testlog.Key(t, "ES256")}
	var checker *testlog.Checker
	var vkeys []string
	for life := range 200 {
		p := start(t, nil, nil, args...)
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
			batch = append(batch, string(testlog.Statement(t, a.key, "asset", fmt.Append(nil, life, i))))
		}
		s.live(p)
		var group sync.WaitGroup
		for _, statement := range batch {
			group.Go(func() {
				status, receipt, err := p.post(t.Context(), []byte(statement), "wait=60")
				a.note(t, statement, status, receipt, err)
			})
		}
		group.Wait()
		s.live(nil)
		if t.Failed() {
			t.Fatal(p.stderr)
		}
		if len(a.unsure) == 0 {
			a.check(t, p, checker)
			replay(t, b.URL, vkeys)
			break
		}
		_ = p.signal(syscall.SIGKILL) // it was killed
		// The lease need not run out for this.
		if err := servers.Root(t.Context(), `UPDATE `+url[strings.LastIndexByte(url, '/')+1:]+`.conmotion_writer SET expires = UTC_TIMESTAMP(6)`); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed before %d kinds of steps, %d receipts:\n%s", len(s.killed), len(a.receipts), strings.Join(s.killed, "\n"))
	for _, must := range []string{"COMMIT after ", "FOR UPDATE after ", "/tile/entries/0.p/0 after ", "/checkpoint after "} {
		if !slices.ContainsFunc(s.killed, func(kind string) bool { return strings.Contains(kind, must) }) {
			t.Errorf("not killed at %s: this was no test", must)
		}
	}
}
