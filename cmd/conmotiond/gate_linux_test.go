package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path"
	"sync"
	"syscall"
	"testing"

	"cloud.google.com/go/spanner/apiv1/spannerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/conmotion/conmotion/internal/testlog"
)

// gate passes requests on to Spanner, and can keep a commit back: then its transaction
// is under way, has read its row, and is neither done nor given up.
type gate struct {
	t       *testing.T
	address string
	server  *grpc.ClientConn
	opened  chan struct{}

	mu     sync.Mutex
	table  string // that the commit updates which is kept back; "" for none
	writer *os.Process
	kept   chan struct{} // closed when it is
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l := testlog.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	g := &gate{t: t, address: l.Addr().String(), opened: make(chan struct{}), kept: make(chan struct{})}
	g.server = testlog.Must(grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(asIs{}))))(t)
	s := grpc.NewServer(grpc.ForceServerCodec(asIs{}), grpc.UnknownServiceHandler(g.pass))
	go func() { _ = s.Serve(l) }() // it ends with Stop
	t.Cleanup(func() { s.Stop(); _ = g.server.Close() })
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

// pass passes a request on. All of Spanner's have one message, and one or more in the
// answer. The caller's leaving does not end it: it may be that which is late.
func (g *gate) pass(_ any, in grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(in)
	headers, _ := metadata.FromIncomingContext(in.Context())
	headers.Delete(":authority")
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.WithoutCancel(in.Context()), headers))
	defer cancel()
	out, err := g.server.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
	}
	var message []byte
	if err := in.RecvMsg(&message); err != nil {
		return err
	}
	if path.Base(method) == "Commit" {
		if err := g.keep(message); err != nil {
			return err
		}
	}
	if err := errors.Join(out.SendMsg(&message), out.CloseSend()); err != nil {
		return err
	}
	for {
		var answer []byte
		if err := out.RecvMsg(&answer); err != nil {
			in.SetTrailer(out.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := in.SendMsg(&answer); err != nil {
			return err
		}
	}
}

// keep keeps a commit back, if it is the one.
func (g *gate) keep(message []byte) error {
	var commit spannerpb.CommitRequest
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

// asIs is the codec of messages that are not looked into.
type asIs struct{}

// Name implements encoding.Codec.
func (asIs) Name() string { return "proto" }

// Marshal implements encoding.Codec.
func (asIs) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal implements encoding.Codec.
func (asIs) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
