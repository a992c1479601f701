package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// serve is a server on a real socket. The channel gets a value after each request.
func serve(t *testing.T, h http.Handler) (*httptest.Server, <-chan struct{}) {
	t.Helper()
	done := make(chan struct{}, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s, done
}

// TestClientDisconnects cuts uploads at several places.
func TestClientDisconnects(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{Quota: 1 << 30})
	s, done := serve(t, mustHandler(t, Config{Store: d}))
	for _, length := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		for _, sent := range []int{0, 1, 70_000, 999_999} {
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			body := string(pattern(sent))
			if strings.HasPrefix(length, "T") && sent > 0 {
				body = fmt.Sprintf("%x\r\n%s\r\n", sent, body)
			}
			_, err = io.WriteString(conn, "POST /artifacts HTTP/1.1\r\nHost: x\r\n"+length+"\r\n\r\n"+body)
			if err := errors.Join(err, conn.Close()); err != nil {
				t.Fatal(err)
			}
			<-done
			empty(t, d)
			if _, err := d.Stat(t.Context(), sha256.Sum256(pattern(sent))); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s, %d sent: %v, want ErrNotFound", length, sent, err)
			}
		}
	}
}

// pipes is a listener without a network, for the synthetic clock.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestStalled is that an upload and a download which do not move are ended, and
// that slow ones which move are not.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := mustOpenDir(t, t.TempDir(), Options{})
		const size = 20 * minChunk
		big := mustPut(t, d, pattern(size))
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		h := mustHandler(t, Config{Store: d, idle: 10 * time.Second})
		ended := make(chan struct{}, 10)
		// Timeouts of the server that would end any of this.
		s := &http.Server{ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { ended <- struct{}{} }()
			h.ServeHTTP(w, r)
		})}
		go s.Serve(l)
		defer s.Close()
		// talk sends text and reads until the server ends the connection.
		talk := func(text string, then func(net.Conn)) string {
			client, server := net.Pipe()
			defer client.Close()
			l.conns <- server
			if _, err := io.WriteString(client, text); err != nil {
				t.Error(err)
			}
			then(client)
			answer, err := io.ReadAll(client)
			if err != nil {
				t.Error(err)
			}
			return string(answer)
		}
		post := "POST /artifacts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\n"

		start := time.Now()
		if got := talk(post+"hel", func(net.Conn) {}); !strings.HasPrefix(got, "HTTP/1.1 408 ") || time.Since(start) < 10*time.Second {
			t.Errorf("stalled upload: %q after %s", got, time.Since(start))
		}
		<-ended
		if left := files(t, d.tmp()); len(left) > 0 || d.Used() != size {
			t.Errorf("left in tmp: %q, %d bytes used", left, d.Used())
		}
		slow := func(c net.Conn) {
			for _, b := range []byte("hello\n") {
				time.Sleep(9 * time.Second)
				if _, err := c.Write([]byte{b}); err != nil {
					t.Error(err)
				}
			}
		}
		if got := talk(post, slow); !strings.HasPrefix(got, "HTTP/1.1 201 ") {
			t.Errorf("slow upload: %q", got)
		}
		<-ended

		get := "GET " + artifactPath + big.String() + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
		start = time.Now()
		talk(get, func(net.Conn) {
			<-ended
			if took := time.Since(start); took < 10*time.Second || took > 25*time.Second {
				t.Errorf("stalled download ended after %s", took)
			}
		})
		reader := func(c net.Conn) {
			for range 10 {
				time.Sleep(4 * time.Second) // a write may need two of these
				if _, err := io.ReadFull(c, make([]byte, minChunk)); err != nil {
					t.Error(err)
				}
			}
		}
		if rest := talk(get, reader); len(rest) < size-10*minChunk {
			t.Errorf("slow download: the last %d bytes are missing", size-10*minChunk-len(rest))
		}
		<-ended
	})
}

// TestDamagedWhileSending is that the client of an answer that has begun learns
// that it is not complete.
func TestDamagedWhileSending(t *testing.T) {
	const size = 64 << 20 // more than the sockets buffer
	d := mustOpenDir(t, t.TempDir(), Options{})
	s, done := serve(t, mustHandler(t, Config{Store: d}))
	digest := mustPut(t, d, pattern(size))
	resp, err := http.Get(s.URL + artifactPath + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	flip(t, d.path(digest), size-1)
	b, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(b, pattern(size)[:len(b)]) || len(b) == size {
		t.Errorf("%d bytes, %v, want right ones and an unexpected end", len(b), err)
	}
	<-done
}

// lateDamage damages an artifact after it was opened.
type lateDamage struct {
	*dirStorage
	damage func(Digest)
}

func (s lateDamage) Open(ctx context.Context, d Digest) (io.ReadSeekCloser, Info, error) {
	r, info, err := s.dirStorage.Open(ctx, d)
	s.damage(d)
	return r, info, err
}

// TestAborts is that an answer which cannot be completed is aborted in the way
// that breaks the stream in every version of HTTP.
func TestAborts(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	digest := mustPut(t, d, pattern(3*minChunk))
	h := mustHandler(t, Config{Store: lateDamage{d, func(digest Digest) { flip(t, d.path(digest), 2*minChunk) }}})
	w := httptest.NewRecorder()
	defer func() {
		if r := recover(); r != http.ErrAbortHandler {
			t.Errorf("ended with %v, want http.ErrAbortHandler", r)
		}
		if !bytes.Equal(w.Body.Bytes(), pattern(2*minChunk)) {
			t.Errorf("%d bytes sent, want the %d before the damage", w.Body.Len(), 2*minChunk)
		}
	}()
	h.ServeHTTP(w, httptest.NewRequest("GET", artifactPath+digest.String(), nil))
}

// generated is n bytes made while they are read; it looks at the memory now and
// then.
type generated struct {
	n    int64
	look func()
}

func (g *generated) Read(p []byte) (int, error) {
	if g.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), g.n)]
	for i := range p {
		p[i] = byte(i)
	}
	before := g.n >> 24
	g.n -= int64(len(p))
	if g.n>>24 != before {
		g.look()
	}
	return len(p), nil
}

// TestMemory sends a large artifact up and down over a socket and looks at the
// process, client included.
func TestMemory(t *testing.T) {
	const size, limit = 300 << 20, 24 << 20
	d := mustOpenDir(t, t.TempDir(), Options{})
	s, _ := serve(t, mustHandler(t, Config{Store: d}))
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // as a process has it
	var start, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&start)
	var heap, sys, allocated uint64
	look := func() {
		runtime.ReadMemStats(&now)
		heap = max(heap, now.HeapInuse-min(now.HeapInuse, start.HeapInuse))
		sys = max(sys, now.Sys-min(now.Sys, start.Sys))
		allocated = now.TotalAlloc - start.TotalAlloc
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/artifacts", &generated{size, look})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 201 {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
	resp, err = http.Get(s.URL + resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != 200 || resp.ContentLength != size {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	for got := int64(0); got < size; look() {
		n, err := io.CopyN(io.Discard, resp.Body, 20<<20)
		got += n
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
	}
	t.Logf("%d MiB up and down: heap in use +%d KiB, from the system +%d KiB, allocated %d KiB in all", size>>20, heap>>10, sys>>10, allocated>>10)
	if heap > limit || sys > limit || allocated > limit {
		t.Errorf("more than %d MiB", limit>>20)
	}
}

// TestManyReaders is ten thousand readers with ranges of one artifact, all at
// once.
func TestManyReaders(t *testing.T) {
	const readers, step = 10_000, 100
	d := mustOpenDir(t, t.TempDir(), Options{})
	b := pattern(1 << 20)
	digest := mustPut(t, d, b)
	h := mustHandler(t, Config{Store: d})
	var here atomic.Int64
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			if here.Add(1) == readers {
				close(start)
			}
			<-start
			r := httptest.NewRequestWithContext(context.Background(), "GET", artifactPath+digest.String(), nil)
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", i*step, i*step+999))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 206 || !bytes.Equal(w.Body.Bytes(), b[i*step:i*step+1000]) {
				t.Errorf("range %d: %d with %d bytes", i, w.Code, w.Body.Len())
			}
		})
	}
	wg.Wait()
}
