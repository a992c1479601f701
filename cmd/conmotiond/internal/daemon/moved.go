package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// moved says where the log of a directory went.
type moved struct {
	Storage  string `json:"storage"`
	Database string `json:"database"`
}

// movedFile is in the directory of a log that went to a bucket.
const movedFile = "moved.json"

func readMoved(dir *storage.Dir) (m moved, there bool, err error) {
	data, err := durable.ReadFile(dir.Private(movedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, false, fmt.Errorf("%s: %w", dir.Private(movedFile), err)
	}
	return m, true, nil
}

// write notes where the log is. A crash leaves the file as it was or as it is to be.
func (m moved) write(dir *storage.Dir) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		_, err = durable.Replace(dir.Private(movedFile), append(data, '\n'), 0o600)
	}
	return err
}

// checkMoved refuses to go on in one place with a log that is in another: its keys
// would sign a second log of the same name.
func checkMoved(c *Config, dir *storage.Dir) error {
	m, there, err := readMoved(dir)
	switch {
	case err != nil:
		return err
	case there && bucketOf(c.Storage) != bucketOf(m.Storage):
		return fmt.Errorf("%w: the log of %s is in %s; start with --storage %s --database %s", storage.ErrMovedAway, c.Dir, m.Storage, m.Storage, m.Database)
	case !there && c.Storage != "":
		if _, err := os.Stat(dir.Public(tiles.CheckpointPath)); err == nil {
			return fmt.Errorf("the log is in %s, and not in %s; conmotiond migrate moves it", dir.Public(), c.Storage)
		}
	}
	return nil
}

// bucketOf is a bucket's location without how it is reached.
func bucketOf(location string) string {
	name, _, _ := strings.Cut(location, "?")
	return strings.TrimSuffix(name, "/")
}
