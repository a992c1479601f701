package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// requestTimeout is longer than any service should wait.
const requestTimeout = time.Minute

// conn is one HTTP/1.1 connection that is used for one request at a time.
type conn struct {
	ctx  context.Context
	url  *url.URL
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

type answer struct {
	status   int
	location string
	// retryAfter is how long not to come again.
	retryAfter time.Duration
	body       []byte
}

func newConn(ctx context.Context, u *url.URL) *conn { return &conn{ctx: ctx, url: u} }

func (c *conn) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *conn) dial() error {
	address, secure := c.url.Host, c.url.Scheme == "https"
	if c.url.Port() == "" {
		port := "80"
		if secure {
			port = "443"
		}
		address = net.JoinHostPort(c.url.Hostname(), port)
	}
	var err error
	if secure {
		c.conn, err = (&tls.Dialer{}).DialContext(c.ctx, "tcp", address)
	} else {
		c.conn, err = (&net.Dialer{}).DialContext(c.ctx, "tcp", address)
	}
	if err != nil {
		c.conn = nil
		return fmt.Errorf("connect: %w", err)
	}
	c.r, c.w = bufio.NewReaderSize(c.conn, 8<<10), bufio.NewWriterSize(c.conn, 8<<10)
	return nil
}

func (c *conn) post(path, media string, body []byte) (answer, error) {
	head := "POST " + path + " HTTP/1.1\r\nHost: " + c.url.Host + "\r\nContent-Type: " + media + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return c.do(head, body)
}

func (c *conn) get(path string) (answer, error) {
	return c.do("GET "+path+" HTTP/1.1\r\nHost: "+c.url.Host+"\r\n\r\n", nil)
}

// do sends one request. After a failure the next one gets a new connection.
func (c *conn) do(head string, body []byte) (a answer, err error) {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return a, err
		}
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return a, fmt.Errorf("request: %w", err)
	}
	// A bufio.Writer keeps the first error for Flush.
	_, _ = c.w.WriteString(head)
	_, _ = c.w.Write(body)
	if err := c.w.Flush(); err != nil {
		return a, fmt.Errorf("request: %w", err)
	}
	return c.answer()
}

// answer reads a response with a Content-Length, which is all that the
// service sends to the requests made here; http.ReadResponse would be a
// quarter of the load generator's work.
func (c *conn) answer() (a answer, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return a, fmt.Errorf("response: %w", err)
	}
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
		return a, fmt.Errorf("response: %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("response: %q", line)
	}
	length, last := 0, false
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return a, fmt.Errorf("response: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > 4<<20 {
				return a, fmt.Errorf("response: Content-Length %q", value)
			}
		case "Location":
			a.location = string(value)
		case "Retry-After":
			if n, err := strconv.Atoi(string(value)); err == nil {
				a.retryAfter = time.Duration(n) * time.Second
			}
		case "Connection":
			last = string(value) == "close"
		case "Transfer-Encoding":
			return a, fmt.Errorf("response: transfer encoding %q", value)
		}
	}
	a.body = make([]byte, length)
	if _, err = io.ReadFull(c.r, a.body); err != nil {
		return a, fmt.Errorf("response: %w", err)
	}
	if last {
		c.close()
	}
	return a, nil
}
