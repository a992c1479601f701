package main

import (
	"bytes"
	"crypto"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
)

// ledger is a service that is built on a CCF ledger, as far as SCRAPI shows it.
// Its Receipts are made from the draft and not with the code under test.
type ledger struct {
	key     crypto.Signer
	expires time.Time // of its Receipts; zero: never
	lie     string    // of ledgerLies; "" for none

	mu      sync.Mutex
	entries [][]byte
}

// ledgerLies are what a ledger does to a Receipt that it signs with its own key.
var ledgerLies = map[string]func(r *vectors.LedgerReceipt){
	"another": func(r *vectors.LedgerReceipt) { r.Leaf[2] = bytes.Repeat([]byte{1}, 32) },
	"root":    func(r *vectors.LedgerReceipt) { r.Root = bytes.Repeat([]byte{1}, 32) },
	"path":    func(r *vectors.LedgerReceipt) { r.Path = nil },
	"vds":     func(r *vectors.LedgerReceipt) { r.Protected[int64(395)] = int64(1) },
	"kid":     func(r *vectors.LedgerReceipt) { r.Protected[int64(4)] = []byte("nobody") },
	"alg":     func(r *vectors.LedgerReceipt) { r.Protected[int64(1)] = int64(-7) },
}

// cmdLedger starts a CCF ledger, whose key set is in NAME.keys. Its Receipts
// expire where the time is given, or lie in the way that is named.
func cmdLedger(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 || len(args) > 3 || args[0] != "start" {
		ts.Fatalf("usage: ledger start NAME [EXPIRES or LIE]")
	}
	key, err := scitt.GenerateKey("ES384")
	ts.Check(err)
	l := &ledger{key: key, entries: [][]byte{[]byte("what a ledger begins with"), []byte("and its signature")}}
	if len(args) == 3 && ledgerLies[args[2]] != nil {
		l.lie = args[2]
	} else if len(args) == 3 {
		l.expires, err = time.Parse(time.RFC3339, args[2])
		ts.Check(err)
	}
	server := httptest.NewServer(l)
	ts.Setenv(strings.ToUpper(args[1]), server.URL)
	ts.Defer(server.Close)
	keys, err := l.keys()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".keys"), keys, 0o644))
}

func (l *ledger) keys() ([]byte, error) {
	key, err := scitt.NewKey(l.key.Public())
	if err != nil {
		return nil, err
	}
	return scitt.KeySet{key}.Marshal()
}

// ServeHTTP implements [http.Handler].
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, status, err := l.answer(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func (l *ledger) answer(r *http.Request) ([]byte, int, error) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/.well-known/scitt-keys":
		keys, err := l.keys()
		return keys, http.StatusOK, err
	case r.Method != http.MethodPost || r.URL.Path != "/entries":
		return nil, http.StatusNotFound, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, 0, err
	}
	s, err := scitt.ParseStatement(body)
	if err != nil {
		return nil, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, bytes.Clone(s.Entry()))
	receipt, err := vectors.NewLedgerReceipt(l.key, "https://"+r.Host, l.entries, len(l.entries)-1)
	if err != nil {
		return nil, 0, err
	}
	if !l.expires.IsZero() {
		receipt.Protected[int64(15)].(map[any]any)[int64(4)] = l.expires.Unix()
	}
	if l.lie != "" {
		ledgerLies[l.lie](receipt)
	}
	data, err := receipt.Encode(l.key)
	return data, http.StatusCreated, err
}
