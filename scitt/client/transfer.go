package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// transfer is a request with content, or for some, of any size.
type transfer struct {
	method  string
	url     *url.URL
	header  map[string]string
	content io.ReaderAt
	size    int64
}

// persist repeats a transfer while it meets errors that may pass.
func (a *Artifacts) persist(ctx context.Context, t transfer) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		resp, err := a.send(ctx, t)
		if err == nil {
			return resp, nil
		}
		p, refused := errors.AsType[*scitt.Problem](err)
		// Two are verdicts here: the artifact is damaged, or a disk is, or it is full.
		verdict := refused && (p.Status == http.StatusInternalServerError || p.Status == http.StatusInsufficientStorage)
		if ctx.Err() != nil || attempt >= a.client.retries || verdict || !transient(err) {
			return nil, err
		}
		var asked time.Duration
		if refused {
			asked = p.RetryAfter
		}
		if err := a.client.pause(ctx, attempt, asked, err); err != nil {
			return nil, err
		}
	}
}

// send sends it once. The body of the answer is to be closed. Status 400 and
// above is a *scitt.Problem.
func (a *Artifacts) send(ctx context.Context, t transfer) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	idle := time.AfterFunc(artifactIdle, func() { cancel(errStalled) })
	f := &flow{moved: func() { idle.Reset(artifactIdle) }, end: func() { idle.Stop(); cancel(nil) }}
	resp, err := a.do(ctx, t, f)
	if err != nil {
		f.end()
		return nil, err
	}
	f.ReadCloser, resp.Body = resp.Body, f
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s: %w", errNoAnswer, t.method, t.url, err)
	}
	refusal := answer{status: resp.StatusCode, header: resp.Header, body: body, url: t.url}
	return nil, refusal.problem()
}

func (a *Artifacts) do(ctx context.Context, t transfer, f *flow) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, t.method, t.url.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", t.method, t.url, err)
	}
	for name, value := range t.header {
		req.Header.Set(name, value)
	}
	req.Header.Set("Accept", "*/*")
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	if t.size > 0 {
		req.ContentLength = t.size
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(&upload{io.NewSectionReader(t.content, 0, t.size), t.size, f.moved}), nil
		}
		req.Body, _ = req.GetBody()
	}
	resp, err := a.client.http.Do(req)
	if err == nil {
		return resp, nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		err = fmt.Errorf("%s %s: %w", t.method, t.url, cause)
	}
	// What is wrong on this side is not put right by another attempt.
	if _, local := errors.AsType[*contentError](err); local || errors.Is(err, errRedirect) {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
}

// flow is the body of an answer that has to keep moving.
type flow struct {
	io.ReadCloser
	moved, end func()
}

func (f *flow) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 {
		f.moved()
	}
	return n, err
}

func (f *flow) Close() error {
	defer f.end()
	return f.ReadCloser.Close()
}

// contentError is an error of reading what is to be sent.
type contentError struct{ err error }

func (e *contentError) Error() string { return "reading the content: " + e.err.Error() }
func (e *contentError) Unwrap() error { return e.err }

// upload is the body of a request.
type upload struct {
	content io.Reader
	left    int64
	moved   func()
}

func (u *upload) Read(p []byte) (int, error) {
	u.moved()
	n, err := u.content.Read(p)
	u.left -= int64(n)
	if err == io.EOF && u.left > 0 {
		err = errors.New("it became shorter while it was sent")
	}
	if err != nil && err != io.EOF {
		err = &contentError{err}
	}
	return n, err
}
