package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestManyConnections: clients that hold connections open, more than there may
// be files, keep others waiting and break nothing.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	p := start(t, []string{fewFiles + "=640"}, nil, "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--search=false")
	address := strings.TrimPrefix(p.url, "http://")
	key := testlog.Key(t, "ES256")
	var held []net.Conn
	for range 1000 {
		held = append(held, testlog.Must(net.Dial("tcp", address))(t))
	}
	// The first of them are served, with whatever they ask.
	for i := range 20 {
		statement := testlog.Statement(t, key, fmt.Sprint("asset ", i), nil)
		req := testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/entries", strings.NewReader(string(statement))))(t)
		req.Header.Set("Prefer", "wait=60")
		if err := req.Write(held[i]); err != nil {
			t.Fatal(err)
		}
		resp := testlog.Must(http.ReadResponse(bufio.NewReader(held[i]), req))(t)
		if resp.Body.Close(); resp.StatusCode != http.StatusCreated {
			t.Errorf("statement %d: status %d", i, resp.StatusCode)
		}
	}
	for _, c := range held {
		c.Close()
	}
	if status, _, err := p.post(t.Context(), testlog.Statement(t, key, "afterwards", nil), "wait=60"); err != nil || status != http.StatusCreated {
		t.Errorf("afterwards: status %d, %v\n%s", status, err, p.stderr)
	}
}
