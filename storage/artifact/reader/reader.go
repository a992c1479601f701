// Package reader reads artifacts, the content behind hash envelopes (RFC 9995),
// by their SHA-256: from the directory of an artifact storage, from a service,
// or from an export on a plain file server.
//
// No storage is trusted. Whatever is read is hashed here, and bytes that do not
// have the digest that was asked for never end as if they were good. What a
// storage announces (a length, a status, a file's size) only makes a refusal
// earlier.
package reader

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// What callers branch on. An artifact that is not there is [fs.ErrNotExist];
// any other error says that the storage could not be read, and may pass.
var (
	// ErrWrong says that the storage has other bytes than were asked for.
	ErrWrong = errors.New("the storage gave bytes with another digest")
	// ErrTooLarge says that there are more bytes than the limit. They were not
	// compared with the digest.
	ErrTooLarge = errors.New("the artifact is larger than the limit")
	// ErrPrivate says that the storage gives the content to others only: it wants
	// a token, or another one. Nothing follows for the content or for who keeps it.
	ErrPrivate = errors.New("the content cannot be read: it is private")
	// ErrTooSlow says that the artifact did not come within the limit.
	ErrTooSlow = errors.New("the artifact took longer than the limit")
	// ErrUnread says that this artifact cannot be read, which may pass, where others at
	// its place could be: that must not hide what is behind. Where several in a row cannot be
	// read the place is out of reach, and the error is not this one.
	ErrUnread = errors.New("the artifact cannot be read now")
)

// maxUnread is how many artifacts in a row cannot be read before their place is out of reach.
const maxUnread = 8

// Withheld reports whether an error says that a place does not serve the content
// with a digest: nothing is there, or other or more bytes are. Whoever should
// serve it can change that; the content was not judged.
func Withheld(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrWrong) || errors.Is(err, ErrTooLarge)
}

// ManifestPath is where an export has its manifest: see package mirror.
const ManifestPath = "manifest.json"

// Limits that hold unless Options say otherwise.
const (
	MaxSize = 5 << 30 // bytes; also the largest artifact that a storage takes by default
	MaxTime = time.Hour
)

// Artifacts is where content is read by its SHA-256. It is safe for concurrent use.
type Artifacts interface {
	// Artifact returns the whole content with this digest, at most limit bytes.
	// It verifies the digest. Errors wrap [fs.ErrNotExist] when it is not there,
	// ErrWrong when other bytes are, ErrTooLarge when there are more, and ErrPrivate
	// when a token is wanted; any other error may pass.
	Artifact(ctx context.Context, digest Digest, limit int64) ([]byte, error)
}

// Options say how artifacts are read. The zero value reads without a token.
type Options struct {
	// Client is how a URL is asked. The timeout of its HTTP client is not used.
	Client client.Options
	// Token is the bearer token (RFC 6750) for reading at a URL, "" for none.
	Token string
	Limits
}

// Limits bound the reading of one artifact.
type Limits struct {
	Size int64         // bytes; MaxSize when 0
	Time time.Duration // MaxTime when 0
}

// Reader reads artifacts at one place. It is safe for concurrent use. A nil
// Reader has no artifacts.
type Reader struct {
	o     Options
	store *client.Artifacts // of a URL; else nil
	url   *url.URL
	dir   string            // with sha256/ in it
	files map[Digest]string // by content; nil for a storage

	unread atomic.Int32 // artifacts in a row that could not be read
}

// Open opens the artifacts at a location:
//
//   - a URL of a service, with /artifacts/sha256/HEX, or of an export on a file
//     server, with sha256/ab/cd/HEX; nothing is asked yet.
//   - a directory with sha256/ or artifacts/sha256/ in it, or a service's own
//     public/, whose artifacts are in private/artifacts beside it. The error
//     wraps [fs.ErrNotExist] when there are none.
func Open(location string, o Options) (*Reader, error) {
	r := &Reader{o: o}
	if u, err := url.Parse(location); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		r.url = u
		if r.store, err = client.NewArtifacts(location, o.Token, o.Client); err != nil {
			return nil, fmt.Errorf("artifacts: %w", err)
		}
		return r, nil
	}
	if o.Token != "" {
		return nil, fmt.Errorf("artifacts %q: a token is for the URL of a service", location)
	}
	dirs := []string{location, filepath.Join(location, "artifacts")}
	if filepath.Base(location) == "public" {
		dirs = append(dirs, filepath.Join(filepath.Dir(location), "private", "artifacts"))
	}
	for _, r.dir = range dirs {
		if info, err := os.Stat(filepath.Join(r.dir, "sha256")); err == nil && info.IsDir() {
			return r, nil
		}
	}
	return nil, fmt.Errorf("artifacts %q: neither a URL nor a directory with artifacts in sha256/: %w", location, fs.ErrNotExist)
}

// Files opens the plain files below a directory as artifacts, whatever their
// names are. It hashes all of them now, and each again when it is read.
func Files(ctx context.Context, dir string, o Options) (*Reader, error) {
	r := &Reader{o: o, dir: dir, files: map[Digest]string{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		digest, _, err := HashFile(ctx, path)
		r.files[digest] = path
		return err
	})
	return r, err
}

// Place returns where an artifact is looked for, for people.
func (r *Reader) Place(digest Digest) string {
	switch {
	case r.store != nil:
		return r.store.URL(digest)
	case r.files != nil:
		return r.files[digest]
	}
	return filepath.Join(r.dir, filepath.FromSlash(digest.Path()))
}

// Open opens the content with a digest, which may be of any size up to MaxSize.
// It is verified while it is read: see [Content]. Errors wrap
// [fs.ErrNotExist] when it is not there, ErrWrong when the storage says that it
// is damaged, and ErrTooLarge when more bytes are announced than the limit.
func (r *Reader) Open(ctx context.Context, digest Digest) (*Content, error) {
	return r.open(ctx, digest, sha256.New(), 0, math.MaxInt64)
}

// OpenAt is Open from an offset on, for a caller that has the bytes before it.
// The hash is the SHA-256 of those, and is used from then on. An artifact that
// ends before the offset is ErrWrong when it is read.
func (r *Reader) OpenAt(ctx context.Context, digest Digest, offset int64, before hash.Hash) (*Content, error) {
	return r.open(ctx, digest, before, offset, math.MaxInt64)
}

// Artifact implements [Artifacts].
func (r *Reader) Artifact(ctx context.Context, digest Digest, limit int64) ([]byte, error) {
	c, err := r.open(ctx, digest, sha256.New(), 0, limit)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	content, err := io.ReadAll(c)
	if err != nil {
		return nil, err // what was read is not verified
	}
	return content, nil
}

// Fetch opens the content with a digest at a URL of its own, such as the one
// that a statement names (RFC 9995, payload-location). No token is sent.
func Fetch(ctx context.Context, location string, digest Digest, o Options) (*Content, error) {
	return o.start(ctx, digest, sha256.New(), 0, math.MaxInt64, func(c *Content) error {
		return c.receive(client.Fetch(c.ctx, location, 0, o.Client))
	})
}

// start makes the content that open opens, within the limits.
func (o Options) start(ctx context.Context, digest Digest, before hash.Hash, offset, limit int64, open func(*Content) error) (*Content, error) {
	long := cmp.Or(o.Time, MaxTime)
	c := &Content{Size: -1, hash: before, want: digest, read: offset, limit: min(limit, cmp.Or(o.Size, MaxSize))}
	c.ctx, c.cancel = context.WithTimeoutCause(ctx, long, fmt.Errorf("%w of %v", ErrTooSlow, long))
	err := context.Cause(c.ctx)
	if err == nil {
		err = open(c)
	}
	switch {
	case err == nil && c.Size > c.limit:
		c.from.Close()
		err = tooLarge(c.limit)
	case err != nil && errors.Is(context.Cause(c.ctx), ErrTooSlow):
		err = fmt.Errorf("%w: %w", context.Cause(c.ctx), err)
	}
	if err != nil {
		c.cancel()
		return nil, err
	}
	return c, nil
}

func (r *Reader) open(ctx context.Context, digest Digest, before hash.Hash, offset, limit int64) (*Content, error) {
	if r == nil {
		return nil, fmt.Errorf("there is no artifact storage: %w", fs.ErrNotExist)
	}
	c, err := r.o.start(ctx, digest, before, offset, limit, func(c *Content) error {
		c.end = func(err error) error { return r.ended(ctx, err) }
		if r.store == nil {
			return r.find(c, offset)
		}
		d, err := r.store.Get(c.ctx, digest, offset)
		if !notThere(err) {
			return c.receive(d, err)
		}
		// It may be a file server, which has no such address as a service.
		d, fileErr := r.fetch(c.ctx, digest.Path(), offset)
		switch {
		case !notThere(fileErr):
			return c.receive(d, fileErr)
		case refused(err) && !r.isExport(c.ctx):
			return fmt.Errorf("%w: %w", ErrPrivate, err)
		}
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	})
	if err != nil {
		return nil, r.ended(ctx, err)
	}
	return c, nil
}

// ended tells an artifact that cannot be read from a place that is out of reach.
func (r *Reader) ended(ctx context.Context, err error) error {
	switch {
	case err == io.EOF, Withheld(err), errors.Is(err, ErrPrivate):
		r.unread.Store(0)
	case ctx.Err() == nil && r.unread.Add(1) <= maxUnread:
		return fmt.Errorf("%w: %w", ErrUnread, err)
	}
	return err
}

func (r *Reader) fetch(ctx context.Context, path string, offset int64) (*client.Download, error) {
	return client.Fetch(ctx, r.url.JoinPath(path).String(), offset, r.o.Client)
}

// isExport reports whether the files of an export may be read at the URL.
func (r *Reader) isExport(ctx context.Context) bool {
	d, err := r.fetch(ctx, ManifestPath, 0)
	if err != nil {
		return false
	}
	return d.Close() == nil
}

// find opens the file of an artifact.
func (r *Reader) find(c *Content, offset int64) error {
	path := r.Place(c.want)
	if path == "" {
		return fmt.Errorf("no file in %s has the SHA-256 %s: %w", r.dir, c.want, fs.ErrNotExist)
	}
	f, size, err := plain.Open(path)
	if err != nil {
		return err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return err
	}
	c.Size, c.from = size, f
	return nil
}

// receive takes over a download.
func (c *Content) receive(d *client.Download, err error) error {
	p, _ := errors.AsType[*scitt.Problem](err)
	switch {
	case err == nil:
		c.Size, c.from = d.Size, d
	case errors.Is(err, client.ErrOffset): // all of it is before the offset
		c.from = io.NopCloser(bytes.NewReader(nil))
	case p != nil && (p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden):
		return fmt.Errorf("%w: %w", ErrPrivate, err)
	case p != nil && p.Title == TitleDamaged:
		return fmt.Errorf("%w: %w", ErrWrong, err)
	default:
		return err
	}
	return nil
}

// TitleDamaged is the title of a service's problem details where it finds that
// what it has stored is not what it was. That does not pass by itself.
const TitleDamaged = "Artifact Damaged"

// notThere reports whether an answer may say that there is no such artifact.
func notThere(err error) bool {
	p, ok := errors.AsType[*scitt.Problem](err)
	return ok && (p.Status == http.StatusNotFound || p.Status == http.StatusGone || refused(err))
}

// refused reports whether an answer is 403 without problem details, which a
// service sends where it refuses a token. A bucket whose files may not be listed
// gives that answer for every file that it does not have.
func refused(err error) bool {
	p, ok := errors.AsType[*scitt.Problem](err)
	return ok && p.Status == http.StatusForbidden && p.Title == http.StatusText(p.Status)
}
