package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestSlowReaders: clients that ask for much and do not read it cost what their
// connections cost, however it is sent, and others are served.
func TestSlowReaders(t *testing.T) {
	readers := 200
	if n, err := strconv.Atoi(os.Getenv("CONMOTION_SLOW_READERS")); err == nil {
		readers = n // for the figures of docs/performance.md
	}
	p := start(t, nil, nil, "--dir", t.TempDir(), "--listen", "127.0.0.1:0")
	key := testlog.Key(t, "ES256")
	var random rand.ChaCha8
	for range 4 { // a full bundle of 13 MB, which does not compress
		var all [][]byte
		for range 64 {
			content := make([]byte, 50<<10)
			random.Read(content)
			all = append(all, testlog.Statement(t, key, "asset", content))
		}
		if _, receipts, problem, err := p.postAll(t.Context(), all, "wait=10"); len(receipts) != 64 {
			t.Fatal(problem, err)
		}
	}
	blob := make([]byte, 20<<20)
	random.Read(blob)
	if status, body, err := roundTrip(testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/artifacts", bytes.NewReader(blob)))(t)); status != http.StatusCreated {
		t.Fatal(status, body, err)
	}
	before := p.resident()
	for _, c := range []struct{ name, path, fields string }{
		{"a bundle", "/tile/entries/000", ""},
		{"a bundle, compressed", "/tile/entries/000", "Accept-Encoding: gzip\r\n"},
		{"a page of entries", "/entries?limit=1000", ""},
		{"an artifact", fmt.Sprintf("/artifacts/sha256/%x", sha256.Sum256(blob)), ""},
	} {
		var held []net.Conn
		statuses := map[string]int{}
		for range readers {
			conn := testlog.Must(net.Dial("tcp", strings.TrimPrefix(p.url, "http://")))(t)
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", c.path, c.fields)
			held = append(held, conn)
		}
		for _, conn := range held { // the answer has begun
			statuses[strings.TrimSpace(testlog.Must(bufio.NewReaderSize(conn, 16).ReadString('\r'))(t))]++
		}
		taken := p.resident() - before
		t.Logf("%s: %d readers take %d MB more: %v", c.name, readers, taken>>20, statuses)
		if most := 200<<20 + readers*40<<10; taken > most && !testlog.Race {
			t.Errorf("%s: %d readers take %d MB, more than %d", c.name, readers, taken>>20, most>>20)
		}
		if status, _ := p.get("/tile/0/000"); status != 200 {
			t.Errorf("another reader: status %d", status)
		}
		for _, conn := range held {
			conn.Close()
		}
	}
}

// resident is the memory that the process has, in bytes.
func (p *process) resident() int {
	p.t.Helper()
	status := string(testlog.Must(os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)))(p.t))
	_, rest, _ := strings.Cut(status, "VmRSS:")
	return testlog.Must(strconv.Atoi(strings.Fields(rest)[0]))(p.t) << 10
}
