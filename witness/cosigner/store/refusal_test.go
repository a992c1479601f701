package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// failing is a store whose disk is broken.
type failing struct{ cosigner.Store }

var errDisk = errors.New("write /srv/secret/guard: input/output error")

func (failing) Load(context.Context, string) (cosigner.State, error) {
	return cosigner.State{}, errDisk
}

// TestProblems: each refusal of a witness but 409 is problem details of bounded length. Of
// what is wrong with its own disk they say nothing, and the log does.
func TestProblems(t *testing.T) {
	l := newLogs(t, 1)[0]
	r := start(t, l)
	var said bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&said, nil))
	broken := testlog.Must(cosigner.New(r.cosigners, failing{r.store}, r.now, logger))(t)
	if err := broken.SetLogs(r.list); err != nil {
		t.Fatal(err)
	}
	works, fails := *r.handler.Load(), testlog.Must(cosigner.NewHandler(broken, noop.Meter{}))(t)
	good := string(l.Growing(0, 0, 3).Marshal())
	for _, c := range []struct {
		of                 http.Handler
		method, path, body string
		status             int
	}{
		{works, "GET", "/nothing", "", 404},
		{works, "GET", "/" + strings.Repeat("x", 60_000) + "/checkpoint", "", 404},
		{works, "PUT", "/add-checkpoint", "", 405},
		{works, "POST", "/add-checkpoint", "nonsense", 400},
		{works, "POST", "/add-checkpoint", strings.Repeat("x", 1<<20), 413},
		{works, "POST", "/add-checkpoint", strings.ReplaceAll(good, l.Origin+"\n", strings.Repeat("o", 60_000)+"\n"), 404},
		{works, "POST", "/sign-subtree", "nonsense", 400},
		{fails, "POST", "/add-checkpoint", good, 503},
		{fails, "GET", "/" + cosigner.HashOf(l.Origin) + "/checkpoint", "", 503},
	} {
		said.Reset()
		w := httptest.NewRecorder()
		c.of.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, io.NopCloser(strings.NewReader(c.body))))
		p, err := scitt.ParseProblem(w.Code, w.Body.Bytes())
		if err != nil || w.Code != c.status || w.Header().Get("Content-Type") != scitt.ProblemMediaType || len(w.Body.Bytes()) > 2000 || strings.Contains(p.Detail, "/srv") {
			t.Errorf("%s %.40s: status %d, want %d: %v %v %v", c.method, c.path, w.Code, c.status, w.Header(), p, err)
		}
		if inLog := strings.Contains(said.String(), errDisk.Error()); inLog != (c.status >= 500) {
			t.Errorf("%s %.40s: the log says %q", c.method, c.path, &said)
		}
	}
}
