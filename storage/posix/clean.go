package posix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/tiles"
)

// clean removes what an interrupted write left: ours, and the driver's, which
// are named like the file with digits behind. Everything is written where the log
// ends, so of the tiles only the directories of the newest ones are looked at, and
// those that come next. The driver must not run. A crash leaves some for the next start.
func (d *driver) clean() error {
	var size uint64
	if stored, err := d.Tree(context.Background()); err == nil {
		size = stored.Size
	}
	for _, dir := range []string{d.dir.Public(), d.dir.Public(".well-known"), d.dir.Public("tile"), d.dir.Private(), d.dir.Private("tessera")} {
		if err := durable.Clean(dir, 0); err != nil {
			return err
		}
	}
	for dir, names := range map[string]string{
		d.dir.Private("tessera"):           `checkpoint`,
		d.dir.Private("tessera", ".state"): `treeState|gcState|version`,
	} {
		temporary := regexp.MustCompile(`^(` + names + `)[0-9]+$`)
		if err := removeAll(dir, temporary.MatchString); err != nil {
			return err
		}
	}
	for level := -1; level < tileLevels; level++ {
		for _, index := range []uint64{size / tiles.Width, (size/tiles.Width/perDir + 1) * perDir} {
			if err := d.cleanTiles(level, index); err != nil {
				return err
			}
		}
		if level >= 0 {
			size /= tiles.Width
		}
	}
	return nil
}

// perDir is how many tiles a directory has (C2SP tlog-tiles: "3-digit path elements").
const perDir = 1000

// cleanTiles cleans the directory with the tile at an index, or bundle at level
// -1, and those of the partial ones from there on.
func (d *driver) cleanTiles(level int, index uint64) error {
	tile := tiles.BundlePath(index, 0)
	if level >= 0 {
		tile = tiles.TilePath(level, index, 0)
	}
	dir, first := path.Split(tile)
	partial, err := filepath.Glob(d.dir.Public(filepath.FromSlash(dir), "*.p"))
	if err != nil {
		return err
	}
	dirs := []string{path.Clean(dir)}
	for _, sub := range partial {
		if name := filepath.Base(sub); name >= first {
			dirs = append(dirs, path.Join(dir, name))
		}
	}
	for _, dir := range dirs {
		temporary := func(name string) bool {
			_, _, _, ok := tiles.ParseTilePath(dir + "/" + name)
			return !ok
		}
		if err := removeAll(d.dir.Public(filepath.FromSlash(dir)), temporary); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes the plain files in a directory whose names are so; a directory
// that is not there has none.
func removeAll(dir string, so func(name string) bool) error {
	all, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range all {
		if e.Type().IsRegular() && so(e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove what a crash left: %w", err)
			}
		}
	}
	return nil
}
