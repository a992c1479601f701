package gcpkms_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"filippo.io/mldsa"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/keys/gcpkms"
	"github.com/conmotion/conmotion/scitt"
)

const name = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"

func ExampleOpener() {
	_, err := gcpkms.Opener()(context.Background(), "gcpkms://projects/p")
	fmt.Println(err)
	// Output: gcpkms://projects/p is not gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N
}

// server is Cloud KMS with one key.
type server struct {
	kmspb.UnimplementedKeyManagementServiceServer
	key   crypto.Signer
	fault func(context.Context, *kmspb.AsymmetricSignResponse) error
}

func sum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
}

func (s *server) GetPublicKey(_ context.Context, q *kmspb.GetPublicKeyRequest) (*kmspb.PublicKey, error) {
	out := &kmspb.PublicKey{Name: q.Name}
	if pq, ok := s.key.Public().(*mldsa.PublicKey); ok {
		if q.PublicKeyFormat != kmspb.PublicKey_NIST_PQC {
			return nil, status.Error(codes.InvalidArgument, "public_key_format is required")
		}
		out.Algorithm = kmspb.CryptoKeyVersion_PQ_SIGN_ML_DSA_44
		out.PublicKey = &kmspb.ChecksummedData{Data: pq.Bytes(), Crc32CChecksum: sum(pq.Bytes())}
		return out, nil
	}
	pem, err := keys.MarshalPublic(s.key.Public(), keys.PEM)
	out.Pem, out.PemCrc32C = string(pem), sum(pem)
	return out, err
}

func (s *server) AsymmetricSign(ctx context.Context, q *kmspb.AsymmetricSignRequest) (*kmspb.AsymmetricSignResponse, error) {
	out := &kmspb.AsymmetricSignResponse{Name: q.Name}
	message, hash := q.Data, crypto.Hash(0)
	switch d := q.Digest.GetDigest().(type) {
	case *kmspb.Digest_Sha256:
		message, hash = d.Sha256, crypto.SHA256
	case *kmspb.Digest_Sha384:
		message, hash = d.Sha384, crypto.SHA384
	}
	out.VerifiedDataCrc32C = hash == 0 && q.DataCrc32C.GetValue() == sum(message).Value
	out.VerifiedDigestCrc32C = hash != 0 && q.DigestCrc32C.GetValue() == sum(message).Value
	var err error
	if out.Signature, err = s.key.Sign(rand.Reader, message, hash); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	out.SignatureCrc32C = sum(out.Signature)
	if s.fault != nil {
		err = s.fault(ctx, out)
	}
	return out, err
}

func open(t *testing.T, s *server, timeout time.Duration) crypto.Signer {
	t.Helper()
	listener := testlog.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	g := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(g, s)
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	o := keys.Options{Timeout: timeout, Openers: map[string]keys.Opener{"gcpkms": gcpkms.Opener(option.WithEndpoint(listener.Addr().String()),
		option.WithoutAuthentication(), option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))}}
	var out crypto.Signer
	testwait.Until(t, func() bool { // within the timeout
		var err error
		out, err = o.Open(t.Context(), "gcpkms://"+name)
		return err == nil
	}, "the key is opened")
	return out
}

// TestSign: keys of each kind sign through the SDK what verifies.
func TestSign(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		key := open(t, &server{key: testlog.Key(t, alg)}, time.Minute)
		s := testlog.Must(scitt.ParseStatement(testlog.Statement(t, key, "s", make([]byte, 5000))))(t)
		if err := s.VerifySignature(key.Public()); err != nil || !s.LowS() {
			t.Errorf("%s: %v, low s %v", alg, err, s.LowS())
		}
	}
	c := testlog.Must(scitt.NewCosigner("witness.example/w1", open(t, &server{key: testlog.Must(mldsa.GenerateKey(mldsa.MLDSA44()))(t)}, time.Minute)))(t)
	if _, err := c.Cosign([]byte("log.example\n1\n"+strings.Repeat("A", 43)+"=\n"), time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
}

// TestFaults: no signature that is damaged or not verified is returned.
func TestFaults(t *testing.T) {
	for says, fault := range map[string]func(context.Context, *kmspb.AsymmetricSignResponse) error{
		"ResourceExhausted": func(context.Context, *kmspb.AsymmetricSignResponse) error {
			return status.Error(codes.ResourceExhausted, "quota")
		},
		"Unauthenticated": func(context.Context, *kmspb.AsymmetricSignResponse) error {
			return status.Error(codes.Unauthenticated, "expired")
		},
		"(CRC32C)": func(_ context.Context, r *kmspb.AsymmetricSignResponse) error { r.SignatureCrc32C.Value++; return nil },
		"on its way (CRC32C)": func(_ context.Context, r *kmspb.AsymmetricSignResponse) error {
			r.VerifiedDigestCrc32C = false
			return nil
		},
		"was damaged on its way (CRC32C": func(_ context.Context, r *kmspb.AsymmetricSignResponse) error { r.SignatureCrc32C = nil; return nil },
		"answer was damaged":             func(_ context.Context, r *kmspb.AsymmetricSignResponse) error { r.Name += "1"; return nil },
		"the signature is wrong": func(_ context.Context, r *kmspb.AsymmetricSignResponse) error {
			r.Signature[len(r.Signature)-1] ^= 1
			r.SignatureCrc32C = sum(r.Signature)
			return nil
		},
		"no answer within 500ms": func(ctx context.Context, _ *kmspb.AsymmetricSignResponse) error { <-ctx.Done(); return ctx.Err() },
	} {
		timeout := time.Minute
		if strings.HasPrefix(says, "no answer") {
			timeout = 500 * time.Millisecond
		}
		key := open(t, &server{key: testlog.Key(t, "ES256"), fault: fault}, timeout)
		if _, err := key.Sign(nil, make([]byte, 32), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
