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
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestSlowReaders: clients that ask for much and do not read it, or send large
// requests and do not end them, take no more than --memory altogether, and others
// are served.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	readers := 200
	if n, err := strconv.Atoi(os.Getenv("CONMOTION_SLOW_READERS")); err == nil {
		readers = n // for the figures of docs/performance.md
	}
	const memory = 256 << 20
	p := start(t, nil, nil, "--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--memory", strconv.Itoa(memory))
	key := testlog.Key(t, "ES256")
	var random rand.ChaCha8
	for range 4 { // a full bundle of 13 MB, which does not compress
		var all [][]byte
		for range 64 {
			content := make([]byte, 50<<10)
			random.Read(content)
			all = append(all, testlog.Statement(t, key, "asset", content))
		}
		if _, receipts, problem, err := p.postAll(t.Context(), all, "wait=60"); len(receipts) != 64 {
			t.Fatal(problem, err)
		}
	}
	blob := make([]byte, 20<<20)
	random.Read(blob)
	if status, body, err := roundTrip(testlog.Must(http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/artifacts", bytes.NewReader(blob)))(t)); status != http.StatusCreated {
		t.Fatal(status, body, err)
	}
	large := make([]byte, 4<<20-1)
	for _, c := range []struct {
		name, request string
		body          []byte
	}{
		{"a bundle", "GET /tile/entries/000", nil},
		{"a bundle, compressed", "GET /tile/entries/000\r\nAccept-Encoding: gzip", nil},
		{"a page of entries", "GET /entries?limit=1000", nil},
		{"an artifact", fmt.Sprintf("GET /artifacts/sha256/%x", sha256.Sum256(blob)), nil},
		{"many statements", "POST /entries\r\nContent-Type: application/cbor-seq\r\nContent-Length: 4194304", large},
	} {
		var held []net.Conn
		statuses := map[string]int{}
		for range readers {
			conn := testlog.Must(net.Dial("tcp", strings.TrimPrefix(p.url, "http://")))(t)
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			line, fields, _ := strings.Cut(c.request+"\r\n", "\r\n")
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", line, fields)
			held = append(held, conn)
			if c.body != nil {
				// It does not end, so an answer is a refusal.
				_ = conn.SetDeadline(time.Now().Add(time.Second))
				_, _ = conn.Write(c.body)
			}
		}
		for _, conn := range held { // the answer has begun
			status, err := bufio.NewReaderSize(conn, 16).ReadString('\r')
			if err != nil && c.body == nil {
				t.Fatal(err)
			}
			statuses[strings.TrimSpace(status)]++
		}
		taken := p.resident()
		t.Logf("%s: with %d clients the service takes %d MB: %v", c.name, readers, taken>>20, statuses)
		// The Go runtime counts neither the program nor what SQLite maps.
		if taken > memory+64<<20 && !testlog.Race {
			t.Errorf("%s: with %d clients it takes %d MB, and --memory is %d", c.name, readers, taken>>20, memory>>20)
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
