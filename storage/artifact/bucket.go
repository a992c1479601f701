package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// Object describes an object: its size in bytes, and a tag that another content
// does not have.
type Object struct {
	Size int64
	Tag  string
}

// Objects are the objects of a bucket, by key. They are safe for concurrent use.
// The error wraps [fs.ErrNotExist] where there is none with this key.
type Objects interface {
	// Read opens an object.
	Read(ctx context.Context, key string) (io.ReadCloser, Object, error)
	// Stat describes an object.
	Stat(ctx context.Context, key string) (Object, error)
	// Write stores size bytes with this digest if there is no object with this key,
	// or if its tag is replaces when that is not empty. When it returns nil they are
	// durable. The error wraps [fs.ErrExist] when another object is there. A crash
	// leaves the whole object or none.
	Write(ctx context.Context, key string, r io.ReadSeeker, size int64, digest Digest, replaces string) error
	// List calls f with the key and the size of every object, until it returns an error.
	List(ctx context.Context, f func(key string, size int64) error) error
}

// bucketStorage is a Store in a bucket, with the keys of [reader.Digest.Path]. What is
// uploaded or opened lies in a temporary file without a name meanwhile, or in
// memory when it is small.
type bucketStorage struct {
	objects Objects
	opts    Options
	quota   quota
	silence time.Duration // the longest without a byte from the bucket, or to it
}

// OpenBucket opens the store. With a quota it counts the bytes that are stored.
// The quota holds for each process by itself, which counts what it stores.
func OpenBucket(ctx context.Context, objects Objects, opts Options) (Storage, error) {
	b := &bucketStorage{objects: objects, opts: opts, quota: quota{limit: opts.Quota}, silence: 30 * time.Second}
	if opts.Quota > 0 {
		if err := objects.List(ctx, func(_ string, size int64) error { b.quota.used += size; return nil }); err != nil {
			return nil, fmt.Errorf("artifact: %w", err)
		}
	}
	return b, nil
}

// Close does nothing: the objects have nothing open.
func (b *bucketStorage) Close() error { return nil }

// Used implements Storage.
func (b *bucketStorage) Used() int64 { return b.quota.inUse() }

// Artifact implements [reader.Artifacts].
func (b *bucketStorage) Artifact(ctx context.Context, digest Digest, limit int64) ([]byte, error) {
	return whole(ctx, b, digest, limit)
}

// Each implements Storage.
func (b *bucketStorage) Each(ctx context.Context, f func(Info) error) error {
	return b.objects.List(ctx, func(key string, size int64) error {
		digest, err := reader.ParseDigest(path.Base(key))
		if err != nil || digest.Path() != key {
			return nil // not an artifact
		}
		return f(Info{digest, size})
	})
}

// Stat implements Store.
func (b *bucketStorage) Stat(ctx context.Context, digest Digest) (Info, error) {
	o, err := b.objects.Stat(ctx, digest.Path())
	if err != nil {
		return Info{}, lookupError(err)
	}
	return Info{digest, o.Size}, nil
}

// Open implements Store. It copies the artifact to this machine and hashes it;
// what is read then is the copy.
func (b *bucketStorage) Open(ctx context.Context, digest Digest) (io.ReadSeekCloser, Info, error) {
	s, _, err := b.fetch(ctx, digest)
	if err != nil {
		return nil, Info{}, err
	}
	r, err := s.reader()
	if err != nil {
		return nil, Info{}, err
	}
	return r, Info{digest, s.size}, nil
}

// errSilent says that a bucket took or gave no byte for too long.
var errSilent = errors.New("the bucket says nothing")

// exchange is a request to a bucket, which ends when it is silent for too long.
type exchange struct {
	context.Context
	timer   *time.Timer
	silence time.Duration
	end     context.CancelCauseFunc
}

func (b *bucketStorage) exchange(ctx context.Context) *exchange {
	ctx, cancel := context.WithCancelCause(ctx)
	return &exchange{ctx, time.AfterFunc(b.silence, func() { cancel(errSilent) }), b.silence, cancel}
}

// Write notes that there are bytes.
func (e *exchange) Write(p []byte) (int, error) {
	e.timer.Reset(e.silence)
	return len(p), nil
}

// close ends the request; an error that came of silence says so.
func (e *exchange) close(err *error) {
	if e.timer.Stop(); *err != nil && context.Cause(e) == errSilent {
		*err = errSilent
	}
	e.end(nil)
}

// counted notes in an exchange what is read.
type counted struct {
	io.ReadSeeker
	*exchange
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	_, _ = c.Write(p[:n]) // it has no error
	return n, err
}

// fetch copies an artifact. The tag is there also when it is damaged.
func (b *bucketStorage) fetch(ctx context.Context, digest Digest) (_ *spool, o Object, err error) {
	e := b.exchange(ctx)
	defer e.close(&err)
	body, o, err := b.objects.Read(e, digest.Path())
	if err != nil {
		return nil, o, lookupError(err)
	}
	defer body.Close()
	s, h := &spool{}, sha256.New()
	if _, err = io.Copy(io.MultiWriter(h, s, e), body); err != nil {
		err = fmt.Errorf("artifact: %w", err)
	} else if Digest(h.Sum(nil)) != digest {
		err = ErrCorrupt
		if b.opts.OnCorrupt != nil {
			b.opts.OnCorrupt(digest)
		}
	}
	if err != nil {
		return nil, o, errors.Join(err, s.Close())
	}
	return s, o, nil
}

// Put implements Store. A damaged artifact is replaced by the good bytes, which
// counts as created.
func (b *bucketStorage) Put(ctx context.Context, r io.Reader, want Want) (info Info, created bool, err error) {
	if b.opts.MaxSize > 0 && want.Size > b.opts.MaxSize {
		return Info{}, false, ErrTooLarge
	}
	if !b.quota.fits(want.Size) {
		return Info{}, false, ErrFull
	}
	var s spool
	defer func() { err = errors.Join(err, s.Close()) }()
	if info, err = b.opts.hashAll(ctx, r, want, func(p []byte) error {
		if _, err := s.Write(p); err != nil {
			return storageError(err)
		}
		return nil
	}); err != nil {
		return Info{}, false, err
	}
	if !b.quota.take(info.Size) {
		return Info{}, false, ErrFull
	}
	if created, err = b.store(ctx, &s, info); !created {
		b.quota.give(info.Size)
	}
	if err != nil {
		return Info{}, false, err
	}
	return info, created, nil
}

// store writes the object. Where one is there already, it must be intact to count
// as stored.
func (b *bucketStorage) store(ctx context.Context, s *spool, info Info) (created bool, err error) {
	damaged := Object{}
	for range 3 {
		body, err := s.reader()
		if err != nil {
			return false, err
		}
		e := b.exchange(ctx)
		err = b.objects.Write(e, info.Digest.Path(), counted{body, e}, info.Size, info.Digest, damaged.Tag)
		e.close(&err)
		if err == nil {
			b.quota.give(damaged.Size)
			return true, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			// A server that has the object may end the connection before all was sent.
			if there, serr := b.objects.Stat(ctx, info.Digest.Path()); serr != nil || there.Tag == damaged.Tag {
				return false, storageError(err)
			}
		}
		there, o, err := b.fetch(ctx, info.Digest)
		switch {
		case err == nil:
			return false, there.Close()
		case errors.Is(err, ErrCorrupt):
			damaged = o
		case errors.Is(err, ErrNotFound): // somebody removed it in between
			damaged = Object{}
		default:
			return false, err
		}
	}
	return false, fmt.Errorf("artifact: %s changes all the time", info.Digest)
}

// spool holds bytes until they are whole and hashed: in memory, or from spoolMemory
// on in a temporary file that has no name any more, so that a crash leaves nothing.
type spool struct {
	memory bytes.Buffer
	file   *os.File
	size   int64
}

const spoolMemory = 1 << 20

// Write implements [io.Writer].
func (s *spool) Write(p []byte) (n int, err error) {
	if s.file == nil && s.size+int64(len(p)) > spoolMemory {
		if s.file, err = os.CreateTemp("", "artifact-*"); err != nil {
			return 0, err
		}
		if err = os.Remove(s.file.Name()); err == nil {
			_, err = s.file.Write(s.memory.Bytes())
		}
		if err != nil {
			return 0, err
		}
		s.memory = bytes.Buffer{}
	}
	if s.file != nil {
		n, err = s.file.Write(p)
	} else {
		n, err = s.memory.Write(p)
	}
	s.size += int64(n)
	return n, err
}

// reader reads what was written from its start. One is used at a time, and closing it
// closes the spool.
func (s *spool) reader() (io.ReadSeekCloser, error) {
	if s.file == nil {
		return struct {
			*bytes.Reader
			io.Closer
		}{bytes.NewReader(s.memory.Bytes()), s}, nil
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return s.file, err
}

// Close gives the space back.
func (s *spool) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
