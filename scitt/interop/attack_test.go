//go:build interop

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestAttacksUnderLoad: while a service registers 2,000 statements a second,
// strangers post every statement of the attackers' keys again with the other
// valid signature and with invalid ones, at once, in every order and in one
// request. Afterwards no content is in the log twice, fsck and audit are good,
// and the Receipt of every entry verifies here and with foreign code.
func TestAttacksUnderLoad(t *testing.T) {
	install(t)
	bin, dir := t.TempDir(), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/conmotion", "../../cmd/conmotiond").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	url, stop := serve(t, filepath.Join(bin, "conmotiond"), dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := &attackers{t: t, url: url}
	var group sync.WaitGroup
	for i, alg := range slices.Repeat([]string{"ES256", "ES384", "ES512", "ES256"}, 2) {
		group.Go(func() { a.attack(ctx, i, newKey(t, alg)) })
	}
	load := exec.CommandContext(ctx, filepath.Join(bin, "conmotion"), "bench", "--log", url, "--rate", "2000", "-n", "10000", "--concurrency", "64")
	if out, err := load.CombinedOutput(); err != nil {
		t.Errorf("bench: %v\n%s", err, out)
	}
	cancel()
	group.Wait()
	stop()
	if a.registered.Load() < 20 || a.conflicts.Load() < 20 {
		t.Errorf("%d statements were registered and %d refused as registered: that is no attack", a.registered.Load(), a.conflicts.Load())
	}
	public := filepath.Join(dir, "public")
	for _, command := range []string{"fsck", "audit"} {
		if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "conmotion"), command, "--no-home", public).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	t.Logf("%d registered by the attackers, %d conflicts, %d refused", a.registered.Load(), a.conflicts.Load(), a.refused.Load())
	everyReceipt(t, public)
}

// serve runs a service on a free port until stop is called.
func serve(t *testing.T, program, dir string) (url string, stop func()) {
	t.Helper()
	cmd := exec.Command(program, "--dir", dir, "--listen", "127.0.0.1:0", "--rate", "0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("conmotiond: %v\n%s", err, &stderr)
		}
	})
	t.Cleanup(stop)
	lines := bufio.NewScanner(out)
	for url == "" && lines.Scan() {
		_, url, _ = strings.Cut(lines.Text(), "service   ")
	}
	if url == "" {
		t.Fatalf("conmotiond did not start\n%s", &stderr)
	}
	return url, stop
}

// attackers post statements with several signatures.
type attackers struct {
	t                              *testing.T
	url                            string
	registered, conflicts, refused atomic.Int64
}

// attack goes through the attacks until the context ends.
func (a *attackers) attack(ctx context.Context, who int, key crypto.Signer) {
	for n := 0; ctx.Err() == nil; n++ {
		own, err := scitt.SignStatement(key, scitt.SignOptions{Subject: fmt.Sprintf("asset-%d-%d", who, n), ContentType: "text/plain"}, []byte("x"))
		if err != nil {
			a.t.Error(err)
			return
		}
		twin, err := vectors.Twin(key, own)
		if err != nil {
			a.t.Error(err)
			return
		}
		garbage := bytes.Clone(own)
		garbage[len(garbage)-1] ^= 1
		both := [][]byte{own, twin}
		if n%2 == 1 {
			both = [][]byte{twin, own}
		}
		var statuses []int
		switch n % 4 {
		case 0, 1: // at once, beside garbage
			all := append(slices.Clone(both), garbage)
			answers := make([]int, len(all))
			var group sync.WaitGroup
			for i, data := range all {
				group.Go(func() { answers[i] = a.post(ctx, "application/cose", data) })
			}
			group.Wait()
			if g := answers[2]; g != http.StatusBadRequest && g != 0 {
				a.t.Errorf("garbage: %d", g)
			}
			statuses = answers[:2]
		case 2: // in one request, behind what is new, and alone
			first := a.post(ctx, "application/cbor-seq", slices.Concat(both...))
			statuses = []int{first, a.post(ctx, "application/cose", both[1])}
			if first == http.StatusOK { // the answer holds one Receipt and one problem
				statuses[0] = http.StatusCreated
			}
		case 3: // garbage before and after
			a.post(ctx, "application/cose", garbage)
			statuses = []int{a.post(ctx, "application/cose", both[0])}
			a.post(ctx, "application/cose", garbage)
			statuses = append(statuses, a.post(ctx, "application/cose", both[1]))
		}
		slices.Sort(statuses)
		if want := []int{http.StatusCreated, http.StatusConflict}; !slices.Equal(statuses, want) && !slices.Contains(statuses, 0) {
			a.t.Errorf("a statement and its twin, attack %d: %v, want %v", n%4, statuses, want)
		}
	}
}

// post returns the status of an answer; 0 when the test ended before it, or
// the service was busy, which decides nothing.
func (a *attackers) post(ctx context.Context, mediaType string, body []byte) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/entries", bytes.NewReader(body))
	if err != nil {
		a.t.Error(err)
		return 0
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Prefer", "wait=10")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			a.t.Error(err)
		}
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	switch resp.StatusCode {
	case http.StatusCreated, http.StatusOK:
		a.registered.Add(1)
	case http.StatusConflict:
		a.conflicts.Add(1)
		if resp.Header.Get("Location") == "" && mediaType == "application/cose" {
			a.t.Error("409 without Location")
		}
	case http.StatusBadRequest:
		a.refused.Add(1)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return 0
	}
	return resp.StatusCode
}

// everyReceipt makes the Receipt of each entry from the log's files and has it
// verified by package scitt, and where the algorithm is ES256 by foreign code.
func everyReceipt(t *testing.T, public string) {
	ctx := t.Context()
	src := tiles.Dir(public)
	configuration, err := src.Get(ctx, tiles.ConfigurationPath)
	if err != nil {
		t.Fatal(err)
	}
	c, err := scitt.ParseConfiguration(configuration)
	if err != nil {
		t.Fatal(err)
	}
	verifiers, err := scitt.NewCheckpointVerifiers(c.CheckpointKeys)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := src.Get(ctx, tiles.KeysPath)
	if err != nil {
		t.Fatal(err)
	}
	set, err := scitt.ParseKeySet(keys)
	if err != nil {
		t.Fatal(err)
	}
	view, err := tiles.NewLog(src, verifiers).Latest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "keys.cbor", keys)
	files := []string{"keys.cbor"}
	ids := map[scitt.EntryID]uint64{}
	for e, err := range view.Entries(ctx, 2, view.Checkpoint.Size) { // after the log's keys and policy, which are the service's
		if err != nil {
			t.Fatal(err)
		}
		s, err := scitt.ParseStatement(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		if first, ok := ids[s.ID()]; ok {
			t.Errorf("entry %s is at %d and at %d", s.ID(), first, e.Index)
		}
		ids[s.ID()] = e.Index
		receipt, err := view.Receipt(ctx, e.Index, scitt.LeafHash(e.Data))
		if err != nil {
			t.Fatal(err)
		}
		transparent := scitt.AttachReceipts(s, receipt)
		v, err := (&scitt.Verifier{LogKeys: set}).Verify(transparent)
		if err == nil {
			err = v.Err()
		}
		if err != nil {
			t.Errorf("entry %d: %v", e.Index, err)
		}
		if scitt.AlgorithmName(s.Algorithm) == "ES256" {
			files = append(files, fmt.Sprintf("%d.cose", e.Index))
			write(t, dir, files[len(files)-1], transparent)
		}
	}
	code, stdout, stderr := verify(t, dir, files...)
	if good := strings.Count("\n"+stdout, "\ngood "); code != 0 || stderr != "" || good != len(files)-1 {
		t.Errorf("foreign code: exit code %d, %d of %d good, %s", code, good, len(files)-1, stderr)
	}
	if len(files) < 10_000 {
		t.Errorf("only %d entries were verified", len(files))
	}
}
