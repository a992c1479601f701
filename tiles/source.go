package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/scitt/client"
)

// Paths of a log's files, relative to its prefix.
const (
	CheckpointPath    = "checkpoint"
	KeysPath          = ".well-known/scitt-keys"
	ConfigurationPath = ".well-known/transparency-configuration"
	maxFileSize       = 256 * (2 + 1<<16) // the largest possible entry bundle
)

// Source reads the files of a log. Get gives the whole file at a path such as
// "tile/0/000"; for one that is not there the error wraps [fs.ErrNotExist].
// It is safe for concurrent use.
type Source interface {
	Get(ctx context.Context, path string) ([]byte, error)
}

// Open gives the Source at a URL (http or https) or in a directory. A server
// that is busy or out of reach for a while is asked again: see [client.Options].
func Open(location string, o client.Options) (Source, error) {
	if u, err := url.Parse(location); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		c, err := client.New(location, o)
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		return server{c}, nil
	}
	info, err := os.Stat(location)
	if err != nil {
		return nil, fmt.Errorf("log %q: %w", location, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("log %q is neither a URL nor a directory", location)
	}
	return Dir(location), nil
}

// Dir is a Source on a disk: the directory that holds "checkpoint".
type Dir string

// Get reads one file.
func (d Dir) Get(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return plain.ReadFile(filepath.Join(string(d), filepath.FromSlash(path)), maxFileSize)
}

// server is a Source on a file server.
type server struct{ files *client.Client }

// Get reads one file.
func (s server) Get(ctx context.Context, path string) ([]byte, error) {
	return s.files.File(ctx, path, maxFileSize)
}

// Headers are the media type and the Cache-Control of a log's file, for a server
// or an object in a bucket.
//
// C2SP tlog-tiles, of the checkpoint: "This endpoint is mutable, so its headers
// SHOULD prevent caching beyond a few seconds."
func Headers(path string) (mediaType, cacheControl string) {
	switch path {
	case CheckpointPath:
		return "text/plain; charset=utf-8", "public, max-age=1"
	case KeysPath, ConfigurationPath:
		return "application/cbor", "public, max-age=60"
	}
	return "application/octet-stream", "public, max-age=31536000, immutable"
}

// TilePath is the path of a tile of hashes; width 0 or 256 means a full one.
func TilePath(level int, index uint64, width int) string {
	return "tile/" + strconv.Itoa(level) + "/" + indexPath(index, width)
}

// BundlePath is the path of an entry bundle; width 0 or 256 means a full one.
func BundlePath(index uint64, width int) string {
	return "tile/entries/" + indexPath(index, width)
}

// indexPath encodes <N>[.p/<W>].
//
// C2SP tlog-tiles: "a non-negative integer encoded into zero-padded 3-digit
// path elements. All but the last path element MUST begin with an x."
func indexPath(n uint64, width int) string {
	p := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		p = fmt.Sprintf("x%03d/%s", n%1000, p)
	}
	if width > 0 && width < Width {
		p += ".p/" + strconv.Itoa(width)
	}
	return p
}

// getFirst reads at least the first width hashes of a tile, or entries of a
// bundle: the partial file of that width, the full one, or else the one that
// goes with the checkpoint that is there now. A copy of a log has the partial
// files of its own size only, and a log that grew may have no older ones.
//
// C2SP tlog-tiles: logs "MAY delete any partial tile once the corresponding
// full tile is available".
func getFirst(ctx context.Context, src Source, level int, index uint64, width int) ([]byte, error) {
	path := func(width int) string {
		if level < 0 {
			return BundlePath(index, width)
		}
		return TilePath(level, index, width)
	}
	data, err := src.Get(ctx, path(width))
	// The log may go on while it is read: so until nothing is wider.
	for asked := width; asked < Width && errors.Is(err, fs.ErrNotExist); {
		wider, werr := src.Get(ctx, path(Width))
		if errors.Is(werr, fs.ErrNotExist) {
			raw, cerr := src.Get(ctx, CheckpointPath)
			now := widthAt(sizeOf(raw), level, index)
			if cerr != nil || now <= asked {
				break
			}
			asked = now
			wider, werr = src.Get(ctx, path(now))
		}
		if !errors.Is(werr, fs.ErrNotExist) {
			return wider, werr
		}
	}
	return data, err
}

// sizeOf is the size that a checkpoint names, which is not verified; 0 when it
// names none.
func sizeOf(raw []byte) uint64 {
	lines := bytes.SplitN(raw, []byte("\n"), 3)
	if len(lines) < 3 {
		return 0
	}
	size, _ := strconv.ParseUint(string(lines[1]), 10, 63)
	return size
}

// widthAt is how many hashes a tile has, or entries a bundle, in a log of a size.
func widthAt(size uint64, level int, index uint64) int {
	size >>= height * max(level, 0)
	if size < index*Width {
		return 0
	}
	return int(min(size-index*Width, Width))
}

// ParseTilePath says which file a path such as "tile/0/x001/234.p/5" is: the
// level (-1 for entries), index and width. It accepts the one spelling that
// TilePath and BundlePath write.
func ParseTilePath(path string) (level int, index uint64, width int, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) < 3 || parts[0] != "tile" {
		return 0, 0, 0, false
	}
	level = -1
	if parts[1] != "entries" {
		l, err := strconv.Atoi(parts[1])
		if err != nil || l < 0 || l > 63 {
			return 0, 0, 0, false
		}
		level = l
	}
	width = Width
	digits := parts[2:]
	if n := len(digits); n >= 2 && strings.HasSuffix(digits[n-2], ".p") {
		w, err := strconv.Atoi(digits[n-1])
		if err != nil || w < 1 || w >= Width {
			return 0, 0, 0, false
		}
		width = w
		digits = append(digits[:n-2:n-2], strings.TrimSuffix(digits[n-2], ".p"))
	}
	for _, d := range digits {
		d = strings.TrimPrefix(d, "x")
		v, err := strconv.ParseUint(d, 10, 16)
		if err != nil || len(d) != 3 || index > (1<<63)/1000 {
			return 0, 0, 0, false
		}
		index = index*1000 + v
	}
	again := BundlePath(index, width)
	if level >= 0 {
		again = TilePath(level, index, width)
	}
	return level, index, width, again == path
}
