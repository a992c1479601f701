package testcpu

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Of is the processor time that f takes on its thread: nothing that others do meanwhile is in it.
func Of(t testing.TB, f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() time.Duration {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
			t.Error(err)
		}
		return time.Duration(now.Nano())
	}
	began := now()
	f()
	return now() - began
}

// ES256 is the processor time that n verifications of an ES256 signature take by Go's ECDSA and no more.
func ES256(t testing.TB, n int) time.Duration {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Error(err)
		return 0
	}
	var digest [32]byte
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Error(err)
		return 0
	}
	return Of(t, func() {
		for range n {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				t.Error("a signature does not verify")
			}
		}
	})
}
