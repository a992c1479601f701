package daemon_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// FuzzPostSequence sends anything as a sequence of statements: each Receipt is
// that of the statement at its place, and where there are fewer a problem says
// why.
func FuzzPostSequence(f *testing.F) {
	s := newService(f, nil)
	key := testlog.Key(f, "ES256")
	all := chain(f, key, "c", nil, 3)
	f.Add(slices.Concat(all...))
	f.Add(slices.Concat(all[0], all[0], []byte{0xff}))
	f.Add(append([]byte{0xf6}, all[1]...))
	f.Add([]byte{})
	s.bulk(all)
	h, receiptKey := s.Handler(), s.keys()[0].Public
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/entries", bytes.NewReader(body))
		req.Header.Set("Content-Type", cborSeq)
		req.Header.Set("Prefer", "respond-async") // what is in the log has its Receipt all the same
		h.ServeHTTP(w, req)
		sent, splitErr := scitt.SplitSequence(body)
		switch w.Code {
		case http.StatusOK:
			got := testlog.Must(scitt.SplitSequence(w.Body.Bytes()))(t)
			_, err := scitt.ParseProblemItem(got[len(got)-1])
			if err == nil {
				got = got[:len(got)-1]
			}
			if whole := splitErr == nil && len(got) == len(sent); whole == (err == nil) {
				t.Fatalf("%d receipts for %d statements (%v), and a problem: %v", len(got), len(sent), splitErr, err == nil)
			}
			for i, receipt := range got {
				st := testlog.Must(scitt.ParseStatement(sent[i]))(t)
				if err := testlog.Must(scitt.ParseReceipt(receipt))(t).Verify(receiptKey, st.Entry()); err != nil {
					t.Fatalf("receipt %d: %v", i, err)
				}
				if _, err := scitt.SelfCertifying(nil, nil).Verify(st, scitt.Known{}); err != nil {
					t.Fatal("registered, and not signed by its issuer")
				}
			}
		case http.StatusAccepted:
			if _, err := scitt.ParseStatement(sent[0]); err != nil || w.Body.Len() > 0 {
				t.Fatalf("accepted with %d bytes: %v", w.Body.Len(), err)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if p, err := scitt.ParseProblem(w.Code, w.Body.Bytes()); err != nil || p.Title == "" || p.Detail == "" {
				t.Fatalf("status %d with %q: %v", w.Code, w.Body, err)
			}
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}
