package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// known makes what is remembered of a log of this size.
func known(t *testing.T, keys *testlog.Keys, size uint64) KnownLog {
	return KnownLog{Origin: keys.Note.Name(), VKeys: keys.VKeys, Checkpoint: string(keys.Checkpoint(t, size, make([]byte, 32)))}
}

func TestKnown(t *testing.T) {
	h := Home(filepath.Join(t.TempDir(), "[a-z]*?")) // no pattern, but a name
	one, two := testlog.NewKeysOf(t, "one"), testlog.NewKeysOf(t, "two")
	k := known(t, one, 3)
	for _, location := range []string{"https://one.example", "/mirror/one", "https://one.example"} {
		before := testlog.Must(h.Known("one"))(t)
		if err := h.remember(t.Context(), before, k, location); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.remember(t.Context(), nil, known(t, two, 3), "https://two.example"); err != nil {
		t.Fatal(err)
	}
	got, err := h.Known("one")
	if err != nil || !slices.Equal(got.Addresses, []string{"/mirror/one", "https://one.example"}) || len(got.ReceiptKeys()) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, h := range []Home{h, ""} {
		if got, err := h.Known("three"); got != nil || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if logs, err := h.Logs(); len(logs) != 2 || err != nil {
		t.Errorf("%+v, %v", logs, err)
	}
	// What another process wrote meanwhile is compared first.
	if err := h.remember(t.Context(), nil, k, "https://one.example"); !errors.Is(err, errMoved) {
		t.Errorf("over another's: %v", err)
	}
	before := *got
	before.Checkpoint = known(t, one, 2).Checkpoint
	if err := h.remember(t.Context(), &before, k, "https://one.example"); !errors.Is(err, errMoved) {
		t.Errorf("over another's checkpoint: %v", err)
	}
	// Other keys are another log: where the first was seen is not known of it.
	other := known(t, testlog.NewKeysOf(t, "one"), 3)
	if err := h.remember(t.Context(), got, other, "https://new.example"); err != nil {
		t.Fatal(err)
	}
	if got := testlog.Must(h.Known("one"))(t); !slices.Equal(got.Addresses, []string{"https://new.example"}) {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(filepath.Join(string(h), "logs", "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Logs(); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged file was passed over: %v", err)
	}
}

// TestKnownAddresses: the newest addresses are remembered, and a home does not
// grow with every directory that a copy was looked at in.
func TestKnownAddresses(t *testing.T) {
	h := Home(t.TempDir())
	k := known(t, testlog.NewKeysOf(t, "one"), 3)
	for i := range 2 * maxAddresses {
		before := testlog.Must(h.Known("one"))(t)
		if err := h.remember(t.Context(), before, k, fmt.Sprint("/tmp/", i)); err != nil {
			t.Fatal(err)
		}
	}
	got := testlog.Must(h.Known("one"))(t).Addresses
	if len(got) != maxAddresses || got[0] != fmt.Sprint("/tmp/", 2*maxAddresses-1) {
		t.Errorf("%q", got)
	}
}

// TestKnownAtOnce: of those who remember a log at once one is first, and the
// others learn it.
func TestKnownAtOnce(t *testing.T) {
	h := Home(t.TempDir())
	k := known(t, testlog.NewKeysOf(t, "one"), 3)
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() { errs[i] = h.remember(context.Background(), nil, k, "https://one.example") })
	}
	group.Wait()
	first := 0
	for _, err := range errs {
		switch {
		case err == nil:
			first++
		case !errors.Is(err, errMoved):
			t.Error(err)
		}
	}
	if first != 1 {
		t.Errorf("%d were the first", first)
	}
}

// TestOldHome: what an older conmotion remembered is refused in a sentence that
// says what to do.
func TestOldHome(t *testing.T) {
	h := Home(t.TempDir())
	path := h.logFile("https://one.example")
	if err := writeFile(path, []byte(`{"location":"https://one.example","origin":"one","vkeys":["one+1"],"checkpoint":"one"}`)); err != nil {
		t.Fatal(err)
	}
	_, err := h.Logs()
	if err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "remove the directories logs and checkpoints in "+string(h)) {
		t.Errorf("%v", err)
	}
}

// FuzzKnown: whatever stands in a file of Home is refused or verified.
func FuzzKnown(f *testing.F) {
	keys := testlog.NewKeysOf(f, "one")
	k := KnownLog{Format: formatLog, Origin: "one", VKeys: keys.VKeys, Checkpoint: string(keys.Checkpoint(f, 3, make([]byte, 32))), Addresses: []string{"/x"}}
	f.Add(testlog.Must(json.Marshal(k))(f))
	f.Add([]byte(`{"location":"https://one.example"}`))
	h := Home(f.TempDir())
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := h.parse(h.logFile("one"), data)
		if err != nil {
			return
		}
		cv, err := scitt.NewCheckpointVerifiers(k.VKeys)
		if err == nil {
			cv.Tree = nil
			_, err = cv.Open([]byte(k.Checkpoint))
		}
		if err != nil || k.Origin != "one" || len(k.Addresses) == 0 {
			t.Errorf("%+v: %v", k, err)
		}
	})
}

// TestCleanHome: what a killed command left goes, and what another one may be writing stays.
func TestCleanHome(t *testing.T) {
	h := Home(filepath.Join(t.TempDir(), "[home]"))
	var left []string
	for _, dir := range []string{".", "logs", "proofs", "disclosures", "journal/one", "said/one", "elsewhere"} {
		for _, name := range []string{".a.json.17", ".new.17", "a.json"} {
			path := filepath.Join(string(h), dir, name)
			if err := writeFile(path, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if dir != "elsewhere" && name == ".a.json.17" {
				old := time.Now().Add(-2 * leftoverAge)
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
				continue
			}
			left = append(left, path)
		}
	}
	if err := errors.Join(h.clean(), Home("").clean(), Home(t.TempDir()).clean()); err != nil {
		t.Fatal(err)
	}
	got := testlog.Must(filepath.Glob(filepath.Join(filepath.Dir(string(h)), "*", ".*")))(t)
	got = append(got, testlog.Must(filepath.Glob(filepath.Join(filepath.Dir(string(h)), "*", "*", ".*")))(t)...)
	got = append(got, testlog.Must(filepath.Glob(filepath.Join(filepath.Dir(string(h)), "*", "*", "*", ".*")))(t)...)
	if len(got) != 8 { // the new ones, and both of those elsewhere
		t.Errorf("there are %q", got)
	}
	for _, path := range left {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
