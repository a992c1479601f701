package daemon

import (
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/index"
)

// TestUnreadHead: a chain whose head the index cannot read is neither at its beginning
// nor broken: the statement is refused for now.
func TestUnreadHead(t *testing.T) {
	x := testlog.Must(index.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"), nil, slog.New(slog.DiscardHandler)))(t)
	defer x.Close()
	a := admission{&sources{index: x, keys: func() *scitt.KeysInForce { return &scitt.KeysInForce{} }},
		testlog.Must(policy.Parse([]byte(`{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "required"}`)))(t)}
	data := testlog.Must(scitt.SignStatement(testlog.Key(t, "ES256"), scitt.SignOptions{Subject: "asset", Chain: &scitt.ChainLink{Name: "c"}}, nil))(t)
	first := testlog.Must(scitt.ParseStatement(data))(t)
	if err := a.Admit(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Use(t.Context(), func(db *sql.DB) error {
		_, err := db.ExecContext(t.Context(), "DROP TABLE chain")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	err := a.Admit(t.Context(), first, nil)
	if p := scitt.ProblemOf(err); !errors.Is(err, scitt.ErrUnavailable) || policy.AsRefusal(err) != nil || p == nil || p.Status != http.StatusServiceUnavailable {
		t.Errorf("%v: %+v", err, p)
	}
}
