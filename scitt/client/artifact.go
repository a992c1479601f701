package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
)

// ErrOffset says that the artifact ends before the offset, or at it.
var ErrOffset = errors.New("the artifact has no bytes at this offset")

var (
	errStalled  = errors.New("no byte moved for too long")
	errRedirect = errors.New("redirect not followed")
)

// artifactIdle ends a transfer in which nothing moves. It is long because a
// service hashes a large artifact before it gives the first byte, and syncs one
// before it confirms.
const artifactIdle = 5 * time.Minute

// Artifacts is a client of the artifact storage beside a Transparency Service:
// the content of hash envelopes, by its SHA-256. Artifacts of any size pass
// through it without being held in memory. Like [Client] it verifies nothing:
// whoever gets an artifact hashes it. It is safe for concurrent use.
type Artifacts struct {
	client *Client
	token  string
}

// NewArtifacts makes a client of the artifact storage of the service at a URL,
// whose artifacts are under /artifacts there. The bearer token (RFC 6750) is
// "" for none. Of the options, the timeout of HTTP is not used: a transfer may
// take as long as bytes move.
func NewArtifacts(service, token string, o Options) (*Artifacts, error) {
	c, err := New(service, o)
	if err != nil {
		return nil, err
	}
	if c.service.User != nil {
		return nil, fmt.Errorf("a URL with a user name in it, at %s, is not used", c.service.Host)
	}
	c.http.Timeout = 0
	c.http.CheckRedirect = checkRedirect
	return &Artifacts{c, token}, nil
}

// Fetch gets what is at a URL, as [Artifacts.Get] does and without a token.
func Fetch(ctx context.Context, location string, offset int64, o Options) (*Download, error) {
	a, err := NewArtifacts(location, "", o)
	if err != nil {
		return nil, err
	}
	return a.download(ctx, a.client.service, offset)
}

// checkRedirect follows what does not change the request and stays as safe.
// The token is sent to no other host or port: http.Client sends it to every port of the
// host, and to its subdomains.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) >= maxRedirects:
		return fmt.Errorf("%w: there are more than %d", errRedirect, maxRedirects)
	case next.URL.User != nil || (next.URL.Scheme != "http" && next.URL.Scheme != "https"):
		return fmt.Errorf("%w: to %s, no plain http or https URL", errRedirect, next.URL.Redacted())
	case first.URL.Scheme == "https" && next.URL.Scheme != "https":
		return fmt.Errorf("%w: to %s, it leaves https", errRedirect, next.URL)
	case next.Method != first.Method:
		return fmt.Errorf("%w: to %s, use that address", errRedirect, next.URL)
	}
	if next.URL.Host != first.URL.Host {
		next.Header.Del("Authorization")
	}
	return nil
}

// URL is the address of an artifact, whether or not it is stored.
func (a *Artifacts) URL(digest [sha256.Size]byte) string { return a.url(digest).String() }

func (a *Artifacts) url(digest [sha256.Size]byte) *url.URL {
	return a.client.service.JoinPath("artifacts", "sha256", hex.EncodeToString(digest[:]))
}

// Put stores size bytes of content. Created is false if they were stored
// before, and then they are not sent if the token lets the service say so. The
// service refuses content that does not have the digest. It reads content from
// the start for every attempt, and perhaps a little after it has returned.
func (a *Artifacts) Put(ctx context.Context, digest [sha256.Size]byte, content io.ReaderAt, size int64) (created bool, err error) {
	resp, err := a.send(ctx, transfer{method: http.MethodHead, url: a.url(digest)})
	if err == nil {
		resp.Body.Close()
		return false, nil
	}
	// Not there, damaged, or not for this token to know. The upload will tell.
	// A refusal comes before the content is sent.
	return a.post(ctx, digest, content, size, map[string]string{"Expect": "100-continue"})
}

// PutBytes stores content that is so small that to send it costs less than to
// ask first: in one request, else like [Artifacts.Put].
func (a *Artifacts) PutBytes(ctx context.Context, digest [sha256.Size]byte, content []byte) (created bool, err error) {
	return a.post(ctx, digest, bytes.NewReader(content), int64(len(content)), map[string]string{})
}

// PutAll stores contents of at most 64 KiB, at most 1000, in one request (docs/formats.md). A service that does not take them
// so, or one of them, answers with a [*scitt.Problem]: some may be stored then, and by themselves the others may be.
func (a *Artifacts) PutAll(ctx context.Context, contents [][]byte) error {
	var body, want bytes.Buffer
	to, digests := cbor.NewEncoder(&body), cbor.NewEncoder(&want)
	for _, c := range contents {
		digest := sha256.Sum256(c)
		if err := errors.Join(to.Encode(cbor.ByteString(c)), digests.Encode(cbor.ByteString(digest[:]))); err != nil {
			return err
		}
	}
	resp, err := a.persist(ctx, transfer{
		method: http.MethodPost, url: a.client.service.JoinPath("artifacts", "batch"), content: bytes.NewReader(body.Bytes()), size: int64(body.Len()),
		header: map[string]string{"Content-Type": mediaCBORSeq, "Expect": "100-continue"}, // a refusal comes before the contents are sent
	})
	if err != nil {
		return fmt.Errorf("store artifacts: %w", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, int64(want.Len())+1))
	if err == nil && !bytes.Equal(got, want.Bytes()) {
		err = errors.New("the service stored something else")
	}
	if err != nil {
		return fmt.Errorf("store artifacts: %w", err)
	}
	return nil
}

func (a *Artifacts) post(ctx context.Context, digest [sha256.Size]byte, content io.ReaderAt, size int64, header map[string]string) (created bool, err error) {
	field := "sha-256=:" + base64.StdEncoding.EncodeToString(digest[:]) + ":" // RFC 9530 section 2
	header["Content-Type"], header["Content-Digest"], header["Repr-Digest"] = "application/octet-stream", field, field
	resp, err := a.persist(ctx, transfer{
		method: http.MethodPost, url: a.client.service.JoinPath("artifacts"), content: content, size: size, header: header,
	})
	if err != nil {
		return false, fmt.Errorf("store artifact: %w", err)
	}
	resp.Body.Close()
	switch got := resp.Header.Get("Repr-Digest"); {
	case !isWhole(resp.StatusCode):
		return false, fmt.Errorf("store artifact: unexpected status %d", resp.StatusCode)
	case got != "" && !strings.Contains(got, field):
		return false, fmt.Errorf("store artifact: the service stored something else, %s", got)
	}
	return resp.StatusCode == http.StatusCreated, nil
}

// Get gets the bytes of an artifact from an offset on. An offset at the end or
// behind it is ErrOffset. The context ends the download, too.
func (a *Artifacts) Get(ctx context.Context, digest [sha256.Size]byte, offset int64) (*Download, error) {
	return a.download(ctx, a.url(digest), offset)
}

func (a *Artifacts) download(ctx context.Context, u *url.URL, offset int64) (*Download, error) {
	d := &Download{ctx: ctx, from: a, url: u, at: offset}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("get artifact: %w", err)
	}
	return d, nil
}

// Download is an artifact on its way. Where the connection breaks, it goes on
// with a Range request. It serves one goroutine and must be closed.
type Download struct {
	// Size is that of the whole artifact in bytes, -1 if the service does not say.
	Size int64

	ctx     context.Context
	from    *Artifacts
	url     *url.URL
	at      int64 // offset of the next byte
	body    io.ReadCloser
	broken  error // why the body is of no more use
	attempt int   // how often in a row it broke without a byte
}

// open asks for the bytes from d.at on.
func (d *Download) open() error {
	// Not compressed on the way: that would hide the size.
	t := transfer{method: http.MethodGet, url: d.url, header: map[string]string{"Accept-Encoding": "identity"}}
	if d.at > 0 {
		t.header["Range"] = fmt.Sprintf("bytes=%d-", d.at)
	}
	resp, err := d.from.persist(d.ctx, t)
	if err != nil {
		// Who did not ask for a range learns nothing of the artifact's length.
		if p, ok := errors.AsType[*scitt.Problem](err); ok && p.Status == http.StatusRequestedRangeNotSatisfiable && d.at > 0 {
			return fmt.Errorf("%w: %w", ErrOffset, err)
		}
		return err
	}
	d.body = resp.Body
	switch {
	case isWhole(resp.StatusCode): // RFC 9110 section 14.2 lets a service ignore Range
		d.Size = resp.ContentLength
		_, err = io.CopyN(io.Discard, resp.Body, d.at)
		if errors.Is(err, io.EOF) {
			err = ErrOffset
		}
	case resp.StatusCode == http.StatusPartialContent:
		var first int64
		if first, d.Size, err = parseContentRange(resp.Header.Get("Content-Range")); err == nil && first != d.at {
			err = fmt.Errorf("asked for the bytes from %d on and got those from %d on", d.at, first)
		}
	default:
		err = fmt.Errorf("unexpected status %d", resp.StatusCode)
	}
	if err != nil {
		resp.Body.Close()
		return fmt.Errorf("%s: %w", d.url, err)
	}
	return nil
}

// Read implements io.Reader.
func (d *Download) Read(p []byte) (int, error) {
	for {
		if d.broken != nil {
			if err := d.reopen(); err != nil {
				return 0, err
			}
		}
		n, err := d.body.Read(p)
		d.at += int64(n)
		if n > 0 {
			d.attempt = 0
		}
		// RFC 9110 section 15.3.7: "a server might want to send only a subset of the
		// data requested for reasons of its own".
		if err == io.EOF && d.at < d.Size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil || err == io.EOF {
			return n, err
		}
		d.broken = err
		if n > 0 {
			return n, nil
		}
	}
}

func (d *Download) reopen() error {
	err := fmt.Errorf("get artifact: %w after %d bytes: %w", errNoAnswer, d.at, d.broken)
	if d.ctx.Err() != nil || d.attempt >= d.from.client.retries {
		return err
	}
	if err := d.from.client.pause(d.ctx, d.attempt, 0, err); err != nil {
		return err
	}
	d.attempt++
	d.body.Close()
	if err := d.open(); err != nil {
		return fmt.Errorf("get artifact: after %d bytes: %w", d.at, err)
	}
	d.broken = nil
	return nil
}

// Close implements io.Closer.
func (d *Download) Close() error { return d.body.Close() }

// parseContentRange reads "bytes first-last/size" (RFC 9110 section 14.4).
// The size is -1 for "*".
func parseContentRange(field string) (first, size int64, err error) {
	bad := fmt.Errorf("Content-Range %q is not understood", field)
	spec, ok := strings.CutPrefix(field, "bytes ")
	span, total, ok2 := strings.Cut(spec, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	a, err1 := strconv.ParseUint(from, 10, 63)
	b, err2 := strconv.ParseUint(to, 10, 63)
	if err1 != nil || err2 != nil || b < a {
		return 0, 0, bad
	}
	if total == "*" {
		return int64(a), -1, nil
	}
	n, err := strconv.ParseUint(total, 10, 63)
	if err != nil || n <= b {
		return 0, 0, bad
	}
	return int64(a), int64(n), nil
}
