// Package gcpkms has keys in Google Cloud KMS: of the algorithms EC_SIGN_P256_SHA256,
// EC_SIGN_P384_SHA384, EC_SIGN_ED25519 and PQ_SIGN_ML_DSA_44. There is none for ES512.
package gcpkms

import (
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"filippo.io/mldsa"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/conmotion/conmotion/keys"
)

var version = regexp.MustCompile(`^projects/[^/?#]+/locations/[^/?#]+/keyRings/[^/?#]+/cryptoKeys/[^/?#]+/cryptoKeyVersions/[0-9]+$`)

type key struct {
	client *kms.KeyManagementClient
	name   string
}

// Opener opens gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N.
// Credentials are what the SDK finds unless the options say otherwise.
func Opener(options ...option.ClientOption) keys.Opener {
	return func(ctx context.Context, uri string) (keys.Remote, error) {
		name := strings.TrimPrefix(uri, "gcpkms://")
		if !version.MatchString(name) {
			return nil, fmt.Errorf("%s is not gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N", uri)
		}
		c, err := kms.NewKeyManagementClient(ctx, options...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", uri, err)
		}
		context.AfterFunc(ctx, func() { _ = c.Close() })
		// One attempt: package keys tries again, and is told of each failure.
		c.CallOptions.GetPublicKey, c.CallOptions.AsymmetricSign = nil, nil
		return &key{c, name}, nil
	}
}

// Public implements [keys.Remote].
func (k *key) Public(ctx context.Context) (crypto.PublicKey, error) {
	out, err := k.client.GetPublicKey(ctx, &kmspb.GetPublicKeyRequest{Name: k.name})
	if status.Code(err) == codes.InvalidArgument {
		// GetPublicKeyRequest, public_key_format: "This field is required for PQC algorithms."
		return k.mldsa(ctx)
	}
	if err != nil {
		return nil, err
	}
	if out.Name != k.name || !sound([]byte(out.Pem), out.PemCrc32C) {
		return nil, errCorrupted
	}
	block, _ := pem.Decode([]byte(out.Pem))
	if block == nil {
		return nil, errors.New("the public key is not PEM")
	}
	return keys.ParseSPKI(block.Bytes)
}

func (k *key) mldsa(ctx context.Context) (crypto.PublicKey, error) {
	out, err := k.client.GetPublicKey(ctx, &kmspb.GetPublicKeyRequest{Name: k.name, PublicKeyFormat: kmspb.PublicKey_NIST_PQC})
	switch {
	case err != nil:
		return nil, err
	case out.Algorithm != kmspb.CryptoKeyVersion_PQ_SIGN_ML_DSA_44:
		return nil, fmt.Errorf("a key of the algorithm %v, and of these only PQ_SIGN_ML_DSA_44 is used", out.Algorithm)
	case out.Name != k.name || !sound(out.PublicKey.GetData(), out.PublicKey.GetCrc32CChecksum()):
		return nil, errCorrupted
	}
	return mldsa.NewPublicKey(mldsa.MLDSA44(), out.PublicKey.Data)
}

// Sign implements [keys.Remote].
func (k *key) Sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	q := &kmspb.AsymmetricSignRequest{Name: k.name}
	switch hash {
	case 0:
		q.Data, q.DataCrc32C = digest, checksum(digest)
	case crypto.SHA256:
		q.Digest, q.DigestCrc32C = &kmspb.Digest{Digest: &kmspb.Digest_Sha256{Sha256: digest}}, checksum(digest)
	case crypto.SHA384:
		q.Digest, q.DigestCrc32C = &kmspb.Digest{Digest: &kmspb.Digest_Sha384{Sha384: digest}}, checksum(digest)
	default:
		return nil, fmt.Errorf("the KMS has no key that signs with %v; %w", hash, keys.ErrFinal)
	}
	out, err := k.client.AsymmetricSign(ctx, q)
	if err != nil {
		return nil, err
	}
	verified := out.VerifiedDigestCrc32C
	if hash == 0 {
		verified = out.VerifiedDataCrc32C
	}
	if out.Name != k.name || !verified || !sound(out.Signature, out.SignatureCrc32C) {
		return nil, errCorrupted
	}
	return out.Signature, nil
}

// errCorrupted is for the checks that the KMS asks of its clients. PublicKey,
// pem_crc32c: "Discard the response in case of non-matching checksum values, and
// perform a limited number of retries."
var errCorrupted = errors.New("the request or the answer was damaged on its way (CRC32C)")

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
}

// sound reports whether data has this checksum, which must be there.
func sound(data []byte, sum *wrapperspb.Int64Value) bool {
	return sum != nil && sum.Value == checksum(data).Value
}
