package personality

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// publish serves a small public resource with validators.
func (s *Service) publish(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "public, max-age=60")
	h.Set("ETag", contentTag(body))
	return serveContent(w, r, time.Time{}, bytes.NewReader(body))
}

// serveContent serves content whose headers are set, or refuses.
func serveContent(w http.ResponseWriter, r *http.Request, modified time.Time, c io.ReadSeeker) error {
	switch status := content.Serve(w, r, modified, c); status {
	case 0:
		return nil
	case http.StatusPreconditionFailed:
		return &scitt.Problem{Status: status, Title: "Precondition Failed", Detail: "the resource is not as the request's If-Match or If-Unmodified-Since says"}
	case http.StatusRequestedRangeNotSatisfiable:
		return &scitt.Problem{Status: status, Title: "Range Not Satisfiable", Detail: "ask for a range of bytes that the resource has"}
	default:
		return fmt.Errorf("serve %s: status %d", r.URL.Path, status)
	}
}

func contentTag(body []byte) string {
	sum := sha256.Sum256(body)
	return fmt.Sprintf("\"%x\"", sum[:16])
}

// getConfiguration tells what the service is, with the policy in force: as
// CBOR, or as JSON where the client prefers that.
func (s *Service) getConfiguration(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Vary", "Accept")
	c := s.Configuration()
	if prefersJSON(r.Header.Get("Accept")) {
		body, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return err
		}
		return s.publish(w, r, "application/json", append(body, '\n'))
	}
	body, err := c.Marshal()
	if err != nil {
		return err
	}
	return s.publish(w, r, mediaCBOR, body)
}

// prefersJSON: the one of the two that the client likes better, or named first
// when it likes both the same.
func prefersJSON(accept string) bool {
	var liked [2]float64
	first := -1
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(part, ";")
		which := slices.Index([]string{"application/json", mediaCBOR}, strings.ToLower(strings.TrimSpace(media)))
		if which < 0 {
			continue
		}
		if first < 0 {
			first = which
		}
		liked[which] = weight(params)
	}
	return liked[0] > liked[1] || (first == 0 && liked[0] > 0 && liked[0] == liked[1])
}

// weight is the parameter q of something that a client accepts (RFC 9110
// section 12.4.2), 1 when it has none and 0 when it is none.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

// setHeaders sets the media type and the caching of a log's file.
func setHeaders(h http.Header, path string) {
	mediaType, cacheControl := tiles.Headers(path)
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", cacheControl)
}

// getCheckpoint serves the checkpoint.
func (s *Service) getCheckpoint(w http.ResponseWriter, r *http.Request) error {
	raw := s.Log.Published().Checkpoint.Raw
	if raw == nil {
		return &scitt.Problem{Status: http.StatusNotFound, Title: "Not Found", Detail: "the log has no checkpoint yet"}
	}
	h := w.Header()
	setHeaders(h, tiles.CheckpointPath)
	h.Set("ETag", contentTag(raw))
	return serveContent(w, r, time.Time{}, bytes.NewReader(raw))
}

// staticFiles serves tiles and entry bundles. What is stored and not yet covered by the
// public checkpoint is for witnesses that judge it first. No cache may keep it: a crash
// may still replace it.
type staticFiles struct {
	files    http.FileSystem
	size     func() uint64 // of the public checkpoint
	encoders encoders
}

// Tiles serves the tiles and entry bundles of a log whose service starts: witnesses
// that judge them may have to before its checkpoint is public. The names of these
// directories are not told.
func Tiles(files http.FileSystem, dirs []string, logger *slog.Logger) http.Handler {
	s := &Service{Config: Config{Logger: logger}, hidden: newHidden(dirs)}
	return s.serve((&staticFiles{files, func() uint64 { return 0 }, newEncoders()}).get)
}

func (s *staticFiles) get(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(r.URL.Path, "/")
	level, index, width, ok := tiles.ParseTilePath(path)
	missing := &scitt.Problem{Status: http.StatusNotFound, Title: "Not Found", Detail: fmt.Sprintf("the log has no file %.200q", path)}
	size := s.size()
	if !ok {
		return missing
	}
	f, err := s.files.Open("/" + path)
	public := covered(size, level, index, width)
	if errors.Is(err, fs.ErrNotExist) && !public {
		return missing
	}
	// Partial files go when a full one is there; others never do.
	if errors.Is(err, fs.ErrNotExist) && width < tiles.Width {
		if covered(size, level, index, tiles.Width) {
			return missing
		}
		// What is public still ends in it, as when the witnesses are away.
		data, err := s.fromFull(level, index, width)
		if errors.Is(err, fs.ErrNotExist) {
			return missing
		}
		if err != nil {
			return fmt.Errorf("static file: %w", err)
		}
		setHeaders(w.Header(), path)
		w.Header().Set("ETag", contentTag(data))
		return serveContent(w, r, time.Time{}, bytes.NewReader(data))
	}
	if err != nil {
		return fmt.Errorf("static file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("static file: %w", err)
	}
	h := w.Header()
	setHeaders(h, path)
	if !public {
		h.Set("Cache-Control", "no-store")
	}
	tag := fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())
	if level < 0 {
		h.Set("Vary", "Accept-Encoding")
		if r.Header.Get("Range")+r.Header.Get("If-Match")+r.Header.Get("If-Unmodified-Since") == "" && acceptsGzip(r.Header.Get("Accept-Encoding")) {
			if z, ok := s.encoders.take(); ok {
				defer s.encoders.give(z)
				return serveGzip(w, r, tag, f, z)
			}
		}
	}
	h.Set("ETag", `"`+tag+`"`)
	return serveContent(w, r, info.ModTime(), f)
}

// fromFull is what a partial file had, from the full one.
func (s *staticFiles) fromFull(level int, index uint64, width int) ([]byte, error) {
	path := tiles.BundlePath(index, tiles.Width)
	if level >= 0 {
		path = tiles.TilePath(level, index, tiles.Width)
	}
	f, err := s.files.Open("/" + path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return tiles.First(data, level, width)
}

// covered reports whether a tile of this width is part of a log of this size;
// level -1 is an entry bundle, which is as wide as the tile of level 0.
func covered(size uint64, level int, index uint64, width int) bool {
	for ; level > 0; level-- {
		size /= tiles.Width
	}
	return index < size/tiles.Width || (index == size/tiles.Width && uint64(width) <= size%tiles.Width)
}

// acceptsGzip: C2SP tlog-tiles: "Entry bundles SHOULD be compressed at the
// HTTP layer."
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			return weight(params) > 0
		}
	}
	return false
}

// encoders compress at the least cost: bundles are for everybody, as often as
// they like, and no rate limits that. There are a few, since one takes 0.5 MB for as
// long as a client reads; who finds none gets the file as it is.
type encoders chan *gzip.Writer

const mostEncoders = 32

func newEncoders() encoders {
	e := make(encoders, mostEncoders)
	for range mostEncoders {
		e <- nil // made when it is needed
	}
	return e
}

func (e encoders) take() (*gzip.Writer, bool) {
	select {
	case z := <-e:
		if z == nil {
			var err error
			if z, err = gzip.NewWriterLevel(nil, gzip.BestSpeed); err != nil {
				panic(err) // the level is one of the package's own
			}
		}
		return z, true
	default:
		return nil, false
	}
}

func (e encoders) give(z *gzip.Writer) {
	z.Reset(nil) // it keeps no connection alive
	e <- z
}

func serveGzip(w http.ResponseWriter, r *http.Request, tag string, f io.Reader, z *gzip.Writer) error {
	tag = `"` + tag + `-gzip"`
	h := w.Header()
	h.Set("ETag", tag)
	if noneMatch(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Encoding", "gzip")
	if r.Method == http.MethodHead {
		return nil
	}
	z.Reset(w)
	_, err := io.Copy(z, f)
	if err == nil {
		err = z.Close()
	}
	return ignoreGone(err)
}
