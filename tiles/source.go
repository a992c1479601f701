package tiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
)

// Paths of a log's files, relative to its prefix.
const (
	CheckpointPath    = "checkpoint"
	KeysPath          = ".well-known/scitt-keys"
	ConfigurationPath = ".well-known/transparency-configuration"
	maxFileSize       = 256 * (2 + 1<<16) // the largest possible entry bundle
)

// ErrStatus is wrapped when a server answers neither with a file nor that it
// has none.
var ErrStatus = errors.New("status")

// Source reads the files of a log. Get gives the whole file at a path such as
// "tile/0/000"; for one that is not there the error wraps [fs.ErrNotExist].
// It is safe for concurrent use.
type Source interface {
	Get(ctx context.Context, path string) ([]byte, error)
}

// Open gives the Source at a URL (http or https) or in a directory.
func Open(location string, client *http.Client) (Source, error) {
	if u, err := url.Parse(location); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		if client == nil {
			client = &http.Client{Timeout: time.Minute}
		}
		return &httpSource{u, client}, nil
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

type httpSource struct {
	prefix *url.URL
	client *http.Client
}

func (s *httpSource) Get(ctx context.Context, path string) ([]byte, error) {
	u := s.prefix.JoinPath(path).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", u, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", u, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("get %s: %w", u, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("get %s: %w %s", u, ErrStatus, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", u, err)
	}
	if len(body) > maxFileSize {
		return nil, fmt.Errorf("get %s: the answer is larger than any file of a log", u)
	}
	return body, nil
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

// getPartial reads a partial file, or the full one that replaced it.
//
// C2SP tlog-tiles: logs "MAY delete any partial tile once the corresponding
// full tile is available".
func getPartial(ctx context.Context, src Source, path func(width int) string, width int) ([]byte, error) {
	data, err := src.Get(ctx, path(width))
	if width < Width && errors.Is(err, fs.ErrNotExist) {
		if full, ferr := src.Get(ctx, path(Width)); !errors.Is(ferr, fs.ErrNotExist) {
			return full, ferr
		}
	}
	return data, err
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
