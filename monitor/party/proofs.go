package party

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Proofs are the files in Home that prove that the log with these verifier keys
// signed two histories, in the order of their names. Each was verified; a file
// that is no proof is an error, as somebody changed it.
func (h Home) Proofs(vkeys []string) (files []string, err error) {
	if h == "" {
		return nil, nil
	}
	dir := filepath.Join(string(h), "proofs")
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("proofs: %w", err)
	}
	cv, err := scitt.NewCheckpointVerifiers(vkeys)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		path := filepath.Join(dir, f.Name())
		if !strings.HasSuffix(path, ".json") || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		data, err := durable.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("proofs: %w", err)
		}
		e, err := tiles.ParseEquivocation(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if _, _, err := e.Verify(cv); err == nil { // else it is about another log
			files = append(files, path)
		}
	}
	return files, nil
}
