package artifact

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
)

// The values of "hello\n" by sha256sum and sha512sum.
const (
	helloSHA256 = "sha-256=:WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=:"
	helloSHA512 = "sha-512=:58IrmUxZ2c8rSOVJseJGZmNgRZMNPafBrLKZ0cO3+TH5Sq5B7dosKyB6NuEPi8uNRSI+VIePWzFufOO2vAGWKQ==:"
)

func TestDigestField(t *testing.T) {
	hello := Digest(sha256.Sum256([]byte("hello\n")))
	if got := formatDigest(hello); got != helloSHA256 {
		t.Errorf("formatDigest: %s, want %s", got, helloSHA256)
	}
	zero := formatDigest(Digest{})
	for name, c := range map[string]struct {
		lines []string
		want  *Digest
	}{
		"absent":     {nil, nil},
		"empty":      {[]string{""}, nil},
		"one":        {[]string{helloSHA256}, &hello},
		"with other": {[]string{helloSHA512 + ", " + helloSHA256}, &hello},
		"two lines":  {[]string{helloSHA512, helloSHA256 + "\t"}, &hello},
		"only other": {[]string{helloSHA512}, nil},
		"last wins":  {[]string{zero + "," + helloSHA256}, &hello},
		"spaces":     {[]string{"  " + helloSHA512 + " \t, \t" + helloSHA256 + " "}, &hello},
	} {
		d, err := parseDigestField(c.lines)
		if err != nil || (d == nil) != (c.want == nil) || d != nil && *d != *c.want {
			t.Errorf("%s: %v, %v, want %v", name, d, err, c.want)
		}
	}
	for _, bad := range []string{"sha-256", "sha-256=", "sha-256=:", "sha-256=WJG1", "sha-256=::", "sha-256=:WJG1:", "SHA-256" + helloSHA256[7:],
		"sha256:" + hello.String(), helloSHA256 + ",", "," + helloSHA256, helloSHA256 + ";a=1", helloSHA256 + " " + helloSHA512,
		"sha-256 = :WJG1:", "sha-256=:WJG!:", "sha-256=\"WJG1\"", "-=:WJG1:", "=:WJG1:"} {
		if d, err := parseDigestField([]string{bad}); !errors.Is(err, errField) {
			t.Errorf("%q: %v, %v, want an error", bad, d, err)
		}
	}
}

func FuzzDigestField(f *testing.F) {
	for _, s := range []string{"", helloSHA256, helloSHA512 + ", " + helloSHA256, "sha-256=:AAAA:", "a=::,b=::", "sha-256;q=1", ",", "*=:A=:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		d, err := parseDigestField([]string{field})
		if err != nil && (d != nil || !errors.Is(err, errField)) {
			t.Errorf("%v with %v", d, err)
		}
		if d == nil {
			return
		}
		if !strings.Contains(field, "sha-256=:") {
			t.Errorf("found %s in %q", d, field)
		}
		again, err := parseDigestField([]string{formatDigest(*d)})
		if err != nil || *again != *d {
			t.Errorf("written again: %v, %v, want %v", again, err, d)
		}
	})
}
