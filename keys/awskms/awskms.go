// Package awskms has keys in AWS KMS: of the key specs ECC_NIST_P256, P384 and P521,
// ECC_NIST_EDWARDS25519 and ML_DSA_44.
package awskms

import (
	"context"
	"crypto"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/conmotion/conmotion/keys"
)

// maxMessage is the longest message in bytes. AWS KMS API reference, Sign, Message:
// "Messages can be 0-4096 bytes. To sign a larger message, provide a message digest."
const maxMessage = 4096

type key struct {
	client *kms.Client
	id     string
	spec   types.KeySpec // since Public
}

// Open opens awskms:///KEY, where KEY is the ARN of a key, best, or what else AWS
// takes for one. Credentials and endpoint are what the SDK finds; the region is that
// of the ARN.
func Open(ctx context.Context, uri string) (keys.Remote, error) {
	id, ok := strings.CutPrefix(uri, "awskms:///")
	if !ok || id == "" || strings.ContainsAny(id, "?# ") {
		return nil, fmt.Errorf("%s is not awskms:///KEY-ARN", uri)
	}
	// One attempt: package keys tries again, and is told of each failure.
	options := []func(*config.LoadOptions) error{config.WithRetryMaxAttempts(1)}
	if strings.HasPrefix(id, "arn:") {
		name, err := arn.Parse(id)
		if err != nil || name.Service != "kms" {
			return nil, fmt.Errorf("%s: the ARN is not that of a key of KMS", uri)
		}
		options = append(options, config.WithRegion(name.Region))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", uri, err)
	}
	return &key{client: kms.NewFromConfig(c), id: id}, nil
}

// Public implements [keys.Remote].
func (k *key) Public(ctx context.Context) (crypto.PublicKey, error) {
	out, err := k.client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &k.id})
	if err != nil {
		return nil, err
	}
	k.spec = out.KeySpec
	return keys.ParseSPKI(out.PublicKey)
}

// Sign implements [keys.Remote].
func (k *key) Sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	algorithm, ok := algorithms[algorithm{k.spec, hash}]
	if !ok {
		return nil, fmt.Errorf("a key of the spec %s does not sign with %v; %w", k.spec, hash, keys.ErrFinal)
	}
	kind := types.MessageTypeDigest
	if hash == 0 {
		kind = types.MessageTypeRaw
		if len(digest) > maxMessage {
			return nil, fmt.Errorf("AWS KMS signs at most %d bytes with a key of the spec %s, and these are %d: sign the hash of the content (--hash), or use an ECDSA key; %w", maxMessage, k.spec, len(digest), keys.ErrFinal)
		}
	}
	out, err := k.client.Sign(ctx, &kms.SignInput{KeyId: aws.String(k.id), Message: digest, MessageType: kind, SigningAlgorithm: algorithm})
	if err != nil {
		return nil, err
	}
	return out.Signature, nil
}

type algorithm struct {
	spec types.KeySpec
	hash crypto.Hash
}

var algorithms = map[algorithm]types.SigningAlgorithmSpec{
	{types.KeySpecEccNistP256, crypto.SHA256}: types.SigningAlgorithmSpecEcdsaSha256,
	{types.KeySpecEccNistP384, crypto.SHA384}: types.SigningAlgorithmSpecEcdsaSha384,
	{types.KeySpecEccNistP521, crypto.SHA512}: types.SigningAlgorithmSpecEcdsaSha512,
	{types.KeySpecEccNistEdwards25519, 0}:     types.SigningAlgorithmSpecEd25519Sha512,
	{types.KeySpecMlDsa44, 0}:                 types.SigningAlgorithmSpecMlDsaShake256,
}
