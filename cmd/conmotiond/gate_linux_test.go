package main

import (
	"os"
	"sync"
	"syscall"
	"testing"

	"cloud.google.com/go/spanner/apiv1/spannerpb"
	"google.golang.org/protobuf/proto"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
)

// gate passes requests on to Spanner, and can keep a commit back: then its transaction
// is under way, has read its row, and is neither done nor given up.
type gate struct {
	t       *testing.T
	address string
	opened  chan struct{}

	mu     sync.Mutex
	table  string // that the commit updates which is kept back; "" for none
	writer *os.Process
	kept   chan struct{} // closed when it is
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	g := &gate{t: t, opened: make(chan struct{}), kept: make(chan struct{})}
	g.address = parts.Gate(t, to, g.keep)
	return g
}

// stop stops a process when its next commit that updates a table is on its way.
func (g *gate) stop(table string, writer *os.Process) {
	g.t.Helper()
	g.mu.Lock()
	g.table, g.writer = table, writer
	g.mu.Unlock()
	select {
	case <-g.kept:
	case <-g.t.Context().Done():
		g.t.Fatal("no commit updates " + table)
	}
}

// open sends the commit on that was kept back.
func (g *gate) open() { close(g.opened) }

// keep keeps a commit back, if it is the one.
func (g *gate) keep(method string, message []byte) error {
	var commit spannerpb.CommitRequest
	if method != "Commit" {
		return nil
	}
	if err := proto.Unmarshal(message, &commit); err != nil {
		return err
	}
	g.mu.Lock()
	this := false
	for _, m := range commit.Mutations {
		this = this || g.table != "" && m.GetUpdate().GetTable() == g.table
	}
	if !this {
		g.mu.Unlock()
		return nil
	}
	g.table = ""
	err := g.writer.Signal(syscall.SIGSTOP)
	close(g.kept)
	g.mu.Unlock()
	select {
	case <-g.opened:
	case <-g.t.Context().Done():
	}
	return err
}
