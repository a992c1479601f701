package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestVerifyCompromised: a receipt by a key that the log says is compromised proves
// nothing alone, whatever tree it names; and it accuses nobody.
func TestVerifyCompromised(t *testing.T) {
	keys, other := testlog.NewKeys(t), testlog.NewKeysOf(t, "other.example")
	issuer := testlog.Key(t, "ES256")
	known, invented := testlog.Statement(t, issuer, "known", []byte("known")), testlog.Statement(t, issuer, "invented", []byte("invented"))
	entries := keys.Begin(t, "{}")
	first := entries[0]
	entries = append(entries, entryOf(t, known))
	// receipt is what a key signs for the last of these entries.
	receipt := func(k *testlog.Keys, entries ...[]byte) []byte {
		var files testlog.Files
		files.Publish(t, k, entries)
		view := testlog.Must(tiles.NewLog(&files, k.Verifiers).Latest(t.Context()))(t)
		n := uint64(len(entries) - 1)
		return testlog.Must(view.Receipt(t.Context(), n, scitt.LeafHash(entries[n])))(t)
	}
	dir := t.TempDir()
	write := func(name string, statement []byte, receipts ...[]byte) string {
		path := filepath.Join(dir, name)
		st := testlog.Must(scitt.DecodeStatement(statement))(t)
		if err := os.WriteFile(path, scitt.AttachReceipts(st, receipts...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old, vouched := receipt(keys, entries...), receipt(other, first, entryOf(t, invented))
	genuine := write("genuine", known, old)
	small := write("small", invented, receipt(keys, first, entryOf(t, invented)))
	large := write("large", invented, receipt(keys, append(append([][]byte{}, entries...), first, first, entryOf(t, invented))...))
	both := write("both", invented, receipt(keys, first, entryOf(t, invented)), vouched)
	otherKeys := filepath.Join(dir, "other.cbor")
	if err := os.WriteFile(otherKeys, testlog.Must(testlog.KeySet(t, other.Receipt).Marshal())(t), 0o600); err != nil {
		t.Fatal(err)
	}

	var files testlog.Files
	files.Publish(t, keys, entries)
	server := httptest.NewServer(&files)
	defer server.Close()
	home := t.TempDir()
	verify := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := runIn(t.Context(), append([]string{"verify", "--home", home}, args...), strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	if code, out := verify("--log", server.URL, genuine); code != cli.ExitGood {
		t.Fatalf("before: exit code %d, %s", code, out)
	}
	sound, entries := keys.Compromise(t, entries, first)
	files.Publish(t, sound, entries)
	fresh := write("fresh", known, testlog.Must(testlog.Must(tiles.NewLog(&files, sound.Verifiers).Latest(t.Context()))(t).Receipt(t.Context(), 2, scitt.LeafHash(entries[2])))(t))
	static := t.TempDir()
	files.WriteTo(t, static)

	const doubt = "the key is compromised, and what it signed proves nothing alone"
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"a fresh one":                    {[]string{"--log", server.URL, fresh}, cli.ExitGood, nil},
		"what the log holds":             {[]string{"--log", server.URL, genuine}, cli.ExitGood, []string{doubt, "entry 2 of 4"}},
		"what its files hold":            {[]string{"--static", static, genuine}, cli.ExitGood, []string{doubt, "entry 2 of 4"}},
		"a small tree":                   {[]string{"--log", server.URL, small}, cli.ExitUsage, []string{doubt, "NO VERDICT", "a fresh receipt"}},
		"a large tree":                   {[]string{"--log", server.URL, large}, cli.ExitUsage, []string{doubt, "NO VERDICT"}},
		"a tree that the log never had":  {[]string{"--static", static, small}, cli.ExitBad, []string{"does not hold the statement"}},
		"a quorum of it":                 {[]string{"--quorum", "1", "--log", server.URL, small}, cli.ExitUsage, []string{"no verdict: 0 logs vouch", "a receipt by a compromised key; get a fresh one"}},
		"a quorum of what the log holds": {[]string{"--quorum", "1", "--log", server.URL, genuine}, cli.ExitGood, nil},
		"a quorum of another":            {[]string{"--quorum", "1", "--log", server.URL, "--keys", otherKeys, both}, cli.ExitGood, []string{doubt}},
		"a quorum of both":               {[]string{"--quorum", "2", "--log", server.URL, "--keys", otherKeys, both}, cli.ExitUsage, []string{"no verdict: 1 log vouches"}},
	} {
		code, out := verify(c.args...)
		if code != c.code {
			t.Errorf("%s: exit code %d, %s", name, code, out)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in %s", name, want, out)
			}
		}
	}
	// An old copy, which does not say so yet, does not make it sound again.
	files.Clear()
	files.Publish(t, keys, entries[:3])
	if code, out := verify("--log", server.URL, small); code != cli.ExitUsage {
		t.Errorf("an old copy: exit code %d, %s", code, out)
	}
}

func entryOf(t *testing.T, statement []byte) []byte {
	return testlog.Must(scitt.ParseStatement(statement))(t).Entry()
}
