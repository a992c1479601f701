package search

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/tiles"
)

const childEnv = "SEARCH_TEST_CHILD_DB"

// TestMain is also the program that TestKill starts and kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
		return
	}
	m.Run()
}

const killSize = 4000

// child indexes in small transactions with many merges, and tells how far it
// is.
func child(path string) {
	l := eventLog(&testing.B{}, 0, killSize)
	x, err := Open(context.Background(), path, Options{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	x.batch = tiles.Width
	fmt.Println("next", x.Next())
	for size := int(x.Next()); size <= killSize; size += 40 {
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
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
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
			if n == 9+round*3 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended before it was killed")
		}
		cancel()
		x := openIndex(t, path, Options{})
		if x.Next() < far {
			t.Errorf("%d entries are left of %d", x.Next(), far)
		}
		size := int(x.state.Size)
		same(t, "after a kill", answers(t, x), answers(t, indexed(t, l[:size], Options{})))
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	x := openIndex(t, path, Options{})
	catchUp(t, x, l, killSize)
	same(t, "in the end", answers(t, x), answers(t, indexed(t, l, Options{})))
}

// TestInterruptedMerge stops a merge in each of its transactions, as a crash
// would.
func TestInterruptedMerge(t *testing.T) {
	l := eventLog(t, 0, fanIn*30)
	want := answers(t, indexed(t, l, Options{}))
	unfinished := 0
	for stop := 0; ; stop++ {
		x := openIndex(t, "", Options{})
		x.step = 1
		for size := 30; size < len(l); size += 30 {
			catchUp(t, x, l, size)
		}
		err := x.CatchUp(&expiring{Context: t.Context(), left: stop}, l.checkpoint(len(l)), l)
		var garbage int
		count := func() {
			if err := x.db.QueryRow("SELECT count(*) FROM garbage").Scan(&garbage); err != nil {
				t.Error(err)
			}
		}
		if count(); garbage > 0 && err != nil {
			unfinished++
		}
		if x.Next() == uint64(len(l)) {
			same(t, fmt.Sprintf("interrupted at %d", stop), answers(t, x), want)
		}
		catchUp(t, x, l, len(l))
		same(t, fmt.Sprintf("gone on at %d", stop), answers(t, x), want)
		if count(); garbage != 0 {
			t.Errorf("%d segments are garbage", garbage)
		}
		if err == nil {
			break
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if unfinished < 5 {
		t.Errorf("only %d merges were interrupted", unfinished)
	}
}

// expiring is a context that ends after it was asked so often.
type expiring struct {
	context.Context
	mu   sync.Mutex
	left int
}

func (e *expiring) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return e.Context.Err()
}
