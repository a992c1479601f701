package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/monitor/report"
)

// reportFolder is where what belongs to a report's page lies: pages about entries, and the report as JSON, which the next
// one in its place is held against.
func reportFolder(out string) string { return strings.TrimSuffix(out, filepath.Ext(out)) + ".files" }

const reportData = "report.json"

// pages reports whether the report is a page in a file, which has a folder.
func (f reportFlags) pages() bool {
	info, err := os.Stat(f.out)
	return f.format == "html" && f.out != "-" && (err != nil || info.Mode().IsRegular())
}

// reportBefore is the report to hold this one against: the one that is given, or that lies where the page will be. One
// that is not given and cannot be read is told.
func (a *app) reportBefore(ctx context.Context, f reportFlags) (*report.Report, error) {
	path := f.before
	if path == "" && f.pages() {
		path = filepath.Join(reportFolder(f.out), reportData)
	}
	if path == "" {
		return nil, nil
	}
	data, err := a.ReadInput(ctx, path)
	if f.before == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var r *report.Report
	if err == nil {
		r, err = report.Parse(data)
	}
	switch {
	case err == nil:
		return r, nil
	case f.before != "":
		return nil, cli.Usage(fmt.Errorf("--before: %w", err))
	}
	a.Notice("%s is not held against: %v", path, err)
	return nil, nil
}

// writePages writes the page and its folder. The folder comes first: a crash leaves the page that was there, whose links
// lead to pages of its time or of now, and which the next report is not held against if its own data had come already.
func (a *app) writePages(ctx context.Context, r *report.Report, sources []report.Source, out string) error {
	folder := reportFolder(out)
	page, entries, err := r.Pages(ctx, sources, filepath.Base(folder), "../"+filepath.Base(out))
	if err != nil {
		return err
	}
	data, err := r.JSON()
	if err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write %s: %w", out, err)
	}
	// By way of a link that somebody put there pages would be written somewhere else.
	err = plain.Tree(ctx, folder)
	if info, lerr := os.Lstat(folder); err == nil && (lerr != nil || !info.IsDir()) {
		err = errors.Join(lerr, fmt.Errorf("%s is %w", folder, plain.ErrNotPlain))
	}
	if err != nil {
		return cli.Usage(fmt.Errorf("write %s: %w; remove it, or name another file", out, err))
	}
	for name, data := range entries {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	if err := a.WriteOutput(ctx, out, page); err != nil {
		return err
	}
	if err := a.WriteOutput(ctx, filepath.Join(folder, reportData), data); err != nil {
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
