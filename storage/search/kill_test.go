package search

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
)

const childEnv = "SEARCH_TEST_CHILD_DB"

// TestMain is also the program that TestKill starts and kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
		return
	}
	testwait.Quick()
	m.Run()
}

const killSize, killStep = 1200, 10 // entries of the log, and of a transaction

// child indexes in small transactions, as many as it gets bytes, and tells how far it is.
func child(path string) {
	l := eventLog(&testing.B{}, 0, killSize)
	x, err := Open(context.Background(), path, Options{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("next", x.Next())
	ahead := bufio.NewReader(os.Stdin)
	for size := int(x.Next()); size <= killSize; size += killStep {
		if _, err := ahead.ReadByte(); err != nil {
			return
		}
		if err := x.CatchUp(context.Background(), l.checkpoint(size), l); err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println("next", x.Next())
	}
	fmt.Println("end", 0)
}

// TestKill kills a process with SIGKILL while it indexes, several times over
// the same file: nothing that was there is lost, and in the end the index is
// as if nothing had happened.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	l := eventLog(t, 0, killSize)
	far := uint64(0)
	for round := range 6 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		in := testlog.Must(cmd.StdinPipe())(t)
		out := testlog.Must(cmd.StdoutPipe())(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It is no more than four transactions ahead of what was read.
		if _, err := in.Write(make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var next uint64
			if _, err := fmt.Fscanf(bytes.NewReader(lines.Bytes()), "next %d", &next); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			if next < far {
				t.Fatalf("the child is at %d and was at %d", next, far)
			}
			far = next
			if n == 7+round*2 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = in.Write([]byte{0}) // it may be killed
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended before it was killed")
		}
		cancel()
		x := openIndex(t, path, Options{})
		if x.Next() < far {
			t.Errorf("%d entries are left of %d", x.Next(), far)
		}
		size := int(ask(t, x, "limit=1").Checkpoint.Size)
		same(t, "after a kill", answers(t, x), answers(t, indexed(t, l[:size], Options{})))
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	x := openIndex(t, path, Options{})
	catchUp(t, x, l, killSize)
	same(t, "in the end", answers(t, x), answers(t, indexed(t, l, Options{})))
}
