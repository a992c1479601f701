package mirror

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/tiles"
)

// fetchers is how many files are fetched at a time.
const fetchers = 8

// part is a tile or, at level -1, an entry bundle.
type part struct {
	level int
	index uint64
	width int
}

func (p part) path() string {
	if p.level < 0 {
		return tiles.BundlePath(p.index, p.width)
	}
	return tiles.TilePath(p.level, p.index, p.width)
}

// parts are the tiles and bundles that a log of a size has, and one of from
// entries has not.
func parts(from, size uint64) []part {
	var out []part
	level := func(l int, from, to uint64) {
		for i := from / tiles.Width; i*tiles.Width < to; i++ {
			out = append(out, part{l, i, int(min(tiles.Width, to-i*tiles.Width))})
		}
	}
	if from < size {
		level(-1, from, size)
	}
	for l, a, b := 0, from, size; b > 0; l, a, b = l+1, a/tiles.Width, b/tiles.Width {
		if a < b {
			level(l, a, b)
		}
	}
	return out
}

// edge are the partial files of a log of a size.
func edge(size uint64) (out []part) {
	for l, n := 0, size; n > 0; l, n = l+1, n/tiles.Width {
		if p := (part{l, n / tiles.Width, int(n % tiles.Width)}); p.width > 0 {
			out = append(out, p)
			if l == 0 {
				out = append(out, part{-1, p.index, p.width})
			}
		}
	}
	return out
}

// fetch fetches the parts that are new, or are wanted again, and returns how many were
// there already. They are believed only when they have been verified.
func (e *export) fetch(ctx context.Context, again func(part) bool) (kept int, err error) {
	wanted := parts(e.from, e.cp.Size)
	type result struct {
		file    manifestFile
		fetched bool
	}
	one := func(ctx context.Context, n uint64) (result, error) {
		p := wanted[n]
		name := p.path()
		again := again(p)
		if !again && !e.whole && !e.lacks(p) {
			return result{}, nil
		}
		if !again && e.whole {
			if data, err := durable.ReadFile(e.path(name)); err == nil {
				return result{fileOf(name, data), false}, nil
			} else if !errors.Is(err, fs.ErrNotExist) {
				return result{}, err
			}
		}
		data, err := e.read(ctx, p)
		if err != nil {
			return result{}, err
		}
		// A crash leaves it to the next export, which finds and verifies it.
		_, err = durable.Replace(e.path(name), data, filesMode)
		return result{fileOf(name, data), true}, err
	}
	total := uint64(len(wanted))
	for n, r := range parallel.Ordered(ctx, 0, total, fetchers, one) {
		if r.Err != nil {
			return kept, r.Err
		}
		f := r.Value.file
		if e.whole {
			e.files[f.Path] = f
		}
		e.touch(wanted[n].path())
		if r.Value.fetched {
			e.out.Fetched, e.out.Bytes = e.out.Fetched+1, e.out.Bytes+uint64(f.Size)
		} else {
			kept++
		}
		e.o.Progress("files", n+1, total)
	}
	return kept, nil
}

// read reads a part, which the log may have replaced by a fuller one.
func (e *export) read(ctx context.Context, p part) ([]byte, error) {
	src := e.Files.Source
	if p.level >= 0 {
		return tiles.ReadTile(ctx, src, p.level, p.index, p.width)
	}
	entries, err := tiles.ReadBundle(ctx, src, p.index, p.index*tiles.Width+uint64(p.width))
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, entry := range entries {
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(entry))), entry...)
	}
	return data, nil
}

// covered reports which files belong to the state that is exported.
func (e *export) covered() func(path string) bool {
	return func(path string) bool {
		level, index, width, ok := tiles.ParseTilePath(path)
		if !ok {
			return !strings.HasPrefix(path, "tile/")
		}
		size := e.cp.Size
		for range max(0, level) {
			size /= tiles.Width
		}
		return index*tiles.Width < size && uint64(width) == min(tiles.Width, size-index*tiles.Width)
	}
}

// clean takes away what an older state had and this one has not: partial tiles
// and bundles, and temporary files. A crash leaves some, which the next one takes.
func (e *export) clean(covered func(string) bool) error {
	if e.seen && e.out.Before != nil {
		for _, p := range edge(e.out.Before.Size) {
			if name := p.path(); !covered(name) {
				if err := e.remove(e.path(name)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, pattern := range []string{".checkpoint.*", ".manifest.json.*", ".well-known/.*"} {
		old, err := filepath.Glob(e.path(pattern))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return filepath.WalkDir(e.path("tile"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(e.dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if _, _, _, ok := tiles.ParseTilePath(name); ok && !covered(name) || strings.HasPrefix(d.Name(), ".") {
			return e.remove(path)
		}
		return nil
	})
}

// remove removes a file. The directory of partial files goes with the last one.
func (e *export) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if dir := filepath.Dir(path); strings.HasSuffix(dir, ".p") {
		_ = os.Remove(dir)
	}
	return nil
}

// touch notes that a file is new: the names of its directories are, too.
func (e *export) touch(name string) {
	for dir := filepath.Dir(e.path(name)); !e.dirs[dir] && len(dir) >= len(filepath.Clean(e.dir)); dir = filepath.Dir(dir) {
		e.dirs[dir] = true
	}
}

// syncDirs makes the names of new files durable, before anything speaks of them.
func (e *export) syncDirs() error {
	for dir := range e.dirs {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
