package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestDiskFullBulk: the disk is full in the middle of a request. The problem
// says so, what is stored is the beginning of the request, and with room again
// the same request goes through.
func TestDiskFullBulk(t *testing.T) {
	t.Parallel()
	audit := auditor(t)
	// Batches of 64, so that a request has many.
	p, dir := ownDisk(t, "16m", "--batch-max-size", "64", "--rate", "0", "--policy", chainsRequired(t))
	checker := p.checker(dir)
	filler := filepath.Join(dir, "filler")
	f := testlog.Must(os.Create(filler))(t)
	for chunk := 1 << 16; chunk > 0; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
	// Room for some of the request.
	size := testlog.Must(f.Seek(0, 1))(t)
	if err := f.Truncate(size - 400<<10); err != nil {
		t.Fatal(err)
	}
	f.Close()

	w := newWriter(t, "c")
	w.fill(t, 900)
	receipts := map[string][]byte{}
	status, got, problem, err := p.postAll(t.Context(), w.sent, "wait=1")
	if err != nil || problem == nil || problem.Status != http.StatusServiceUnavailable || !strings.Contains(problem.Detail, "no space left") {
		t.Fatalf("%d, %d receipts, %v %v", status, len(got), problem, err)
	}
	// There may have been room for a checkpoint, and so Receipts for what is
	// stored, or there was not.
	if (status == http.StatusOK) != (len(got) > 0) {
		t.Errorf("%d with %d receipts", status, len(got))
	}
	given := len(got)
	for i, r := range got {
		receipts[string(w.sent[i])] = r
	}
	// With room again the log says what it holds; until then their
	// registrations run.
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for i, data := range w.sent {
		path := "/entries/" + testlog.Must(scitt.ParseStatement(data))(t).ID().String()
		status, _ := p.get(path)
		for ; status == http.StatusNoContent && t.Context().Err() == nil; status, _ = p.get(path) {
		}
		switch {
		case status == http.StatusNotFound:
		case status != http.StatusOK || stored < i:
			t.Fatalf("entry %d, where %d are stored: status %d", i, stored, status)
		default:
			stored++
		}
	}
	t.Logf("%d of 900 were stored, and then: %v", stored, problem)
	if given > stored {
		t.Errorf("%d receipts, and %d are stored", given, stored)
	}
	if stored == 0 || stored == 900 {
		t.Error("this was no test")
	}
	status, got, problem, err = p.postAll(t.Context(), w.sent, "wait=60")
	if err != nil || problem != nil || len(got) != len(w.sent) {
		t.Fatalf("with room: %d, %d of %d receipts, %v %v\n%s", status, len(got), len(w.sent), problem, err, p.stderr)
	}
	checker.Check(t, receipts) // also those from before
	for i, r := range got {
		receipts[string(w.sent[i])] = r
	}
	if view := checker.Check(t, receipts); view.Checkpoint.Size != 902 {
		t.Errorf("the log has %d entries", view.Checkpoint.Size)
	}
	audit(dir)
}
