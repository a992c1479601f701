package artifact

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

const childEnv = "ARTIFACT_TEST_CHILD_DIR"

// TestMain is also the program that TestKill starts and kills.
func TestMain(m *testing.M) {
	if root := os.Getenv(childEnv); root != "" {
		if err := child(root, os.Stdout); err != nil {
			fmt.Println("error", err)
		}
		return
	}
	testwait.Quick()
	m.Run()
}

// child stores new artifacts as fast as it can and prints each digest after it
// was stored. It ends by being killed, or after a bounded number.
func child(root string, out io.Writer) error {
	d, err := OpenDir(root, Options{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	seed := uint64(time.Now().UnixNano())
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(500) {
				b := pattern(int(100 + (seed+i*7919)%300_000))
				binary.LittleEndian.PutUint64(b, seed+g<<32+i)
				info, _, err := d.Put(context.Background(), bytes.NewReader(b), Want{})
				mu.Lock()
				if err != nil {
					fmt.Fprintln(out, "error", err)
				} else {
					fmt.Fprintln(out, "stored", info.Digest)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKill kills a process with SIGKILL while it stores, several times over the
// same directory, and looks at what is there afterwards. It shows what the end
// of a process leaves; the loss of power would need the machine.
func TestKill(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	var stored []Digest
	interrupted := 0
	for round := 0; round < 6 || round < 100 && interrupted == 0; round++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+root)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			what, hex, _ := bytes.Cut(lines.Bytes(), []byte(" "))
			digest, err := reader.ParseDigest(string(hex))
			if string(what) != "stored" || err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			stored = append(stored, digest)
			if n == 5+round%6*3 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended before it was killed")
		}
		cancel()
		interrupted += len(files(t, filepath.Join(root, "tmp")))
		checkStore(t, root, stored)
	}
	t.Logf("%d stored, %d uploads interrupted", len(stored), interrupted)
	if interrupted == 0 {
		t.Error("no upload was interrupted: this test has shown nothing")
	}
}

// checkStore is that all of stored is there, and of the rest nothing in part.
func checkStore(t *testing.T, root string, stored []Digest) {
	t.Helper()
	d := mustOpenDir(t, root, Options{})
	defer d.Close()
	for _, digest := range stored {
		if _, err := readAll(t, d, digest); err != nil {
			t.Errorf("%s was stored: %v", digest, err)
		}
	}
	var sum int64
	for _, name := range files(t, filepath.Join(root, "sha256")) {
		b, err := os.ReadFile(filepath.Join(root, "sha256", name))
		if digest := Digest(sha256.Sum256(b)); err != nil || digest.String() != filepath.Base(name) {
			t.Errorf("%s is half stored: %d bytes, %v", name, len(b), err)
		}
		sum += int64(len(b))
	}
	if d.Used() != sum {
		t.Errorf("%d bytes used, %d there", d.Used(), sum)
	}
	if left := files(t, filepath.Join(root, "tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %q", left)
	}
}
