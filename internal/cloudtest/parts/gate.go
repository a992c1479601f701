package parts

import (
	"context"
	"errors"
	"io"
	"net"
	"path"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Gate passes requests on to Spanner, and gives the address for that. Before each one pass
// is called with its method and its message: it may keep the request back as long as it
// likes, and an error of it is the answer.
func Gate(t testing.TB, to string, pass func(method string, message []byte) error) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(asIs{})))
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodec(asIs{}), grpc.UnknownServiceHandler(func(_ any, in grpc.ServerStream) error {
		return passOn(server, in, pass)
	}))
	go func() { _ = s.Serve(l) }() // it ends with Stop
	t.Cleanup(func() { s.Stop(); _ = server.Close() })
	return l.Addr().String()
}

// passOn passes a request on. All of Spanner's have one message, and one or more in the
// answer. The caller's leaving does not end it: it may be that which is late.
func passOn(server *grpc.ClientConn, in grpc.ServerStream, pass func(method string, message []byte) error) error {
	method, _ := grpc.MethodFromServerStream(in)
	var message []byte
	if err := in.RecvMsg(&message); err != nil {
		return err
	}
	if err := pass(path.Base(method), message); err != nil {
		return err
	}
	headers, _ := metadata.FromIncomingContext(in.Context())
	headers.Delete(":authority")
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.WithoutCancel(in.Context()), headers))
	defer cancel()
	out, err := server.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
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
