package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	plainfile "github.com/conmotion/conmotion/internal/plain"
)

// folderOf is where what belongs to the page in a file lies: pages about entries, and the
// data.
func folderOf(page string) string { return strings.TrimSuffix(page, filepath.Ext(page)) + ".files" }

// DataFile is where [Report.WritePages] writes the report as JSON, which the next one in
// its place is held against.
func DataFile(page string) string { return filepath.Join(folderOf(page), "report.json") }

// WritePages writes the page to a file, and into a folder beside it the pages about the
// entries that it names, and the data. The folder comes first: a crash leaves the page
// that was there, whose links lead to pages of its time or of now, and which the next
// report is not held against if its own data had come already.
func (r *Report) WritePages(ctx context.Context, sources []Source, page string) error {
	folder := folderOf(page)
	html, entries, err := r.pages(ctx, sources, filepath.Base(folder), "../"+filepath.Base(page))
	if err != nil {
		return err
	}
	data, err := r.JSON()
	if err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write %s: %w", page, err)
	}
	// By way of a link that somebody put there pages would be written somewhere else.
	err = plainfile.Tree(ctx, folder)
	if info, lerr := os.Lstat(folder); err == nil && (lerr != nil || !info.IsDir()) {
		err = errors.Join(lerr, fmt.Errorf("%s is %w", folder, plainfile.ErrNotPlain))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w; remove it, or name another file", page, err)
	}
	for name, data := range entries {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(page, html, 0o644); err != nil {
		return err
	}
	if err := durable.WriteFile(DataFile(page), data, 0o644); err != nil {
		return err
	}
	// Nothing leads to the pages of entries that are not in the report any more.
	old, err := filepath.Glob(filepath.Join(folder, "entry-*.html"))
	for _, path := range old {
		if entries[filepath.Base(path)] == nil {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}
