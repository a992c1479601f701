package awskms_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"

	"github.com/conmotion/conmotion/internal/testkms"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/keys/awskms"
	"github.com/conmotion/conmotion/scitt"
)

func options() keys.Options {
	return keys.Options{Openers: map[string]keys.Opener{"awskms": awskms.Open}, Timeout: time.Minute}
}

func ExampleOpen() {
	_, err := awskms.Open(context.Background(), "awskms://kms.example/key")
	fmt.Println(err)
	// Output: awskms://kms.example/key is not awskms:///KEY-ARN
}

// TestSign: keys of each kind sign through the SDK what verifies; ECDSA has low s.
func TestSign(t *testing.T) {
	kms := testkms.NewAWS(t)
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA"} {
		key := testlog.Must(options().Open(t.Context(), kms.Put(alg, testlog.Key(t, alg))))(t)
		for range 8 { // half of what a KMS returns has high s
			s := testlog.Must(scitt.ParseStatement(testlog.Statement(t, key, "s", []byte("content"))))(t)
			if err := s.VerifySignature(key.Public()); err != nil || !s.LowS() {
				t.Errorf("%s: %v, low s %v", alg, err, s.LowS())
			}
		}
	}
	pq := testlog.Must(options().Open(t.Context(), kms.Put("pq", testlog.Must(mldsa.GenerateKey(mldsa.MLDSA44()))(t))))(t)
	c := testlog.Must(scitt.NewCosigner("witness.example/w1", pq))(t)
	body := []byte("log.example\n1\n" + strings.Repeat("A", 43) + "=\n")
	if _, err := c.Cosign(body, time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	ed := testlog.Must(options().Open(t.Context(), kms.Put("long", testlog.Key(t, "EdDSA"))))(t)
	if _, err := scitt.SignStatement(ed, scitt.SignOptions{Subject: "s"}, make([]byte, 5000)); !errors.Is(err, keys.ErrFinal) || !strings.Contains(err.Error(), "4096") {
		t.Errorf("a long message: %v", err)
	}
}

// TestFaults: what goes wrong is an error that says what, and later it goes well.
func TestFaults(t *testing.T) {
	kms := testkms.NewAWS(t)
	uri := kms.Put("key", testlog.Key(t, "ES256"))
	digest := make([]byte, 32)
	for fault, says := range map[testkms.Fault]string{
		testkms.Throttled: "ThrottlingException", testkms.Expired: "ExpiredTokenException",
		testkms.Silent: "no answer within 200ms", testkms.Wrong: "the signature is wrong",
	} {
		o := options()
		if fault == testkms.Silent {
			o.Timeout = 200 * time.Millisecond
		}
		var outcomes []error
		o.Signed = func(_ time.Duration, err error) { outcomes = append(outcomes, err) }
		var key crypto.Signer
		testwait.Until(t, func() (ok bool) { // in 200 ms
			var err error
			key, err = o.Open(t.Context(), uri)
			outcomes = nil
			return err == nil
		}, "the key is opened")
		kms.Fail(fault)
		before, began := kms.Asked(uri), time.Now()
		for range 3 {
			if _, err := key.Sign(nil, digest, crypto.SHA256); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", fault, err)
			}
		}
		if n := kms.Asked(uri) - before; n > 2 && time.Since(began) < 300*time.Millisecond { // after waits of 0.1 and 0.2 s
			t.Errorf("%s: asked %d times, without a wait between", fault, n)
		}
		kms.Fail("")
		o.Timeout, o.Patience = time.Minute, time.Minute
		key = testlog.Must(o.Open(t.Context(), uri))(t)
		if _, err := key.Sign(nil, digest, crypto.SHA256); err != nil {
			t.Errorf("after %s: %v", fault, err)
		}
		if last := len(outcomes) - 1; last < 1 || outcomes[0] == nil || outcomes[last] != nil {
			t.Errorf("%s: told of %v", fault, outcomes)
		}
	}
	// Another key took the place of this one.
	key := testlog.Must(options().Open(t.Context(), uri))(t)
	kms.Put("key", testlog.Key(t, "ES256"))
	if _, err := key.Sign(nil, digest, crypto.SHA256); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("another key: %v", err)
	}
	if _, err := options().Open(t.Context(), "awskms:///arn:aws:kms:eu-central-1:111122223333:key/none"); err == nil || !strings.Contains(err.Error(), "NotFoundException") {
		t.Errorf("no key: %v", err)
	}
}
