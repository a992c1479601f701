package party

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestSubmit: what became of a statement at several services is told, whatever one of them did,
// and the Transparent Statement has the Receipts of those that took it.
func TestSubmit(t *testing.T) {
	t.Parallel()
	one, two, strict := newService(t, anybody), newService(t, anybody), newService(t, `{"version": 1}`)
	a := submitter(t)
	out := filepath.Join(t.TempDir(), "a.cose")
	write := func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }
	receipts := func(path string) int {
		t.Helper()
		return len(testlog.Must(scitt.DecodeStatement(testlog.Must(os.ReadFile(path))(t)))(t).Receipts)
	}
	statement := testlog.Statement(t, a.key, "asset", []byte("x"))
	id := testlog.Must(scitt.DecodeStatement(statement))(t).ID().String()

	s := a.registrar(one, two).Submit(t.Context(), statement, out, write)
	if s.Err != nil || s.Error != "" || s.Result != Registered || s.EntryID != id || s.Out != out || !strings.HasPrefix(s.Location, one.direct) ||
		len(s.Also) != 1 || s.Also[0].Result != Registered || s.Also[0].Log != two.URL || s.Also[0].Out != "" || receipts(out) != 2 {
		t.Errorf("%+v", s)
	}
	s = a.registrar(one, two).Submit(t.Context(), statement, out, write)
	if s.Err != nil || s.Result != Skipped || s.Also[0].Result != Skipped || s.Out != out {
		t.Errorf("again: %+v", s)
	}
	s = a.registrar(one, strict).Submit(t.Context(), statement, out, write)
	if s.Result != Refused || !Refutes(s.Err) || s.Problem == nil || s.Problem.Status != 400 || s.Also[0].Result != Refused || s.Out != out ||
		!strings.HasPrefix(s.Error, "registered with 1 of 2 services: "+strict.URL+": ") {
		t.Errorf("refused by one: %+v", s)
	}
	two.stop()
	next := testlog.Statement(t, a.key, "asset", []byte("y"))
	s = a.registrar(one, two).Submit(t.Context(), next, out, write)
	if s.Result != Failed || Refutes(s.Err) || s.Also[0].Result != Failed || receipts(out) != 1 || !strings.HasPrefix(s.Error, "registered with 1 of 2 services: "+two.URL+": ") {
		t.Errorf("one is down: %+v", s)
	}
	// That there is no verdict by one of them counts more than a refusal, of which nothing is lost.
	s = a.registrar(one, strict, two).Submit(t.Context(), next, "", nil)
	if s.Result != Failed || s.Problem == nil || s.Problem.Status != 400 || !strings.Contains(s.Error, strict.URL) || !strings.Contains(s.Error, two.URL) || len(s.Copies) != 1 || s.Out != "" {
		t.Errorf("refused by one, and one is down: %+v", s)
	}
	s = a.registrar(strict).Submit(t.Context(), next, "", nil)
	if s.Result != Refused || strings.Contains(s.Error, "services") || s.Also != nil {
		t.Errorf("refused by the only one: %+v", s)
	}
	s = a.registrar(one).Submit(t.Context(), []byte("x"), out, write)
	if s.Result != Refused || !errors.Is(s.Err, scitt.ErrMalformed) || s.EntryID != "" {
		t.Errorf("no statement: %+v", s)
	}
	full := errors.New("disk full")
	s = a.registrar(one).Submit(t.Context(), testlog.Statement(t, a.key, "asset", []byte("z")), out, func(string, []byte) error { return full })
	if s.Result != Failed || !errors.Is(s.Err, full) {
		t.Errorf("nowhere to write: %+v", s)
	}
}

// TestSubmitTwin: services that hold different signatures of one content have a file each.
func TestSubmitTwin(t *testing.T) {
	t.Parallel()
	one, two := newService(t, anybody), newService(t, anybody)
	a := submitter(t)
	own := testlog.Statement(t, a.key, "asset", []byte("x"))
	twin := testlog.Twin(t, testlog.Must(scitt.ParseStatement(own))(t).Entry())
	if s := submitter(t).registrar(one).Submit(t.Context(), twin, "", nil); s.Err != nil {
		t.Fatal(s.Err)
	}
	dir := t.TempDir()
	out, second := filepath.Join(dir, "a.cose"), filepath.Join(dir, "a.2.cose")
	s := a.registrar(one, two).Submit(t.Context(), own, out, func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) })
	if s.Err != nil || !s.OtherSignature || s.Out != out || s.Also[0].OtherSignature || s.Also[0].Out != second || len(s.Copies) != 2 {
		t.Errorf("%+v", s)
	}
	for path, want := range map[string][]byte{out: twin, second: own} {
		st := testlog.Must(scitt.DecodeStatement(testlog.Must(os.ReadFile(path))(t)))(t)
		if string(st.Entry()) != string(testlog.Must(scitt.DecodeStatement(want))(t).Entry()) || len(st.Receipts) != 1 {
			t.Errorf("%s has another signature, or %d Receipts", path, len(st.Receipts))
		}
	}
}

func TestCopyFile(t *testing.T) {
	for _, c := range []struct {
		out  string
		n    int
		want string
	}{{"a.cose", 0, "a.cose"}, {"a.cose", 1, "a.2.cose"}, {"d.x/a.b.cose", 2, "d.x/a.b.3.cose"}, {"a", 1, "a.2"}, {"", 1, ""}, {"-", 1, "-"}} {
		if got := CopyFile(c.out, c.n); got != c.want {
			t.Errorf("%q, %d: %q", c.out, c.n, got)
		}
	}
}
