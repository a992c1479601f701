package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/witness"
)

// file holds a file to its size and its digest. The problem is "" when both are
// right. Nothing is read of a file of another size.
func (v *verification) file(ctx context.Context, name string, want reader.Digest, size int64) (problem string, err error) {
	info, err := os.Stat(v.path(name))
	var got reader.Digest
	if err == nil && info.Size() == size {
		got, size, err = reader.HashFile(ctx, v.path(name))
	}
	switch {
	case isMissing(err):
		return "is not there", nil
	case errors.Is(err, plain.ErrNotPlain):
		return "is a directory", nil // of other things there are none
	case err != nil:
		return "", err
	case info.Size() != size:
		return fmt.Sprintf("has %d bytes, and the manifest says %d", info.Size(), size), nil
	case got != want:
		return fmt.Sprintf("has %d bytes with SHA-256 %s, and the manifest says %s", size, got, want), nil
	}
	return "", nil
}

// files holds every file to the manifest, and looks for others.
func (v *verification) files(ctx context.Context) error {
	m := v.manifest
	listed := map[string]bool{manifestPath: true, copying: true}
	check := func(ctx context.Context, n uint64) (string, error) {
		return v.file(ctx, m.Files[n].Path, m.Files[n].SHA256, m.Files[n].Size)
	}
	for n, r := range parallel.Ordered(ctx, 0, uint64(len(m.Files)), workers, check) {
		if r.Err != nil {
			return r.Err
		}
		listed[m.Files[n].Path] = true
		if r.Value != "" {
			v.failed("manifest", "%s %s", m.Files[n].Path, r.Value)
		}
		v.o.Progress("files hashed", n+1, uint64(len(m.Files)))
	}
	others, example, err := v.others(listed)
	if err != nil {
		return err
	}
	v.summary("manifest", "%s the digests that it says", plural.Verb(len(m.Files), "file", "has", "have"))
	if others > 0 {
		v.found("other files", witness.NotChecked, "%d that the manifest does not name, so no part of the export, such as %s", others, example)
	}
	return nil
}

// others counts the files that are not listed, artifacts apart.
func (v *verification) others(listed map[string]bool) (count int, example string, err error) {
	err = fs.WalkDir(os.DirFS(v.dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "sha256" && d.IsDir():
			return fs.SkipDir // artifacts are held to their names
		case !d.IsDir() && !listed[name]:
			if count++; count == 1 {
				example = name
			}
		}
		return nil
	})
	return count, example, err
}

// artifacts holds every artifact to its digest, and every digest that a
// statement signs to the manifest.
func (v *verification) artifacts(ctx context.Context, signed []reader.Digest) error {
	m := v.manifest
	check := func(ctx context.Context, n uint64) (string, error) {
		return v.file(ctx, m.Artifacts[n].SHA256.Path(), m.Artifacts[n].SHA256, m.Artifacts[n].Size)
	}
	for n, r := range parallel.Ordered(ctx, 0, uint64(len(m.Artifacts)), workers, check) {
		switch {
		case r.Err != nil:
			return r.Err
		case r.Value != "":
			v.failed("artifacts", "%s %s", m.Artifacts[n].SHA256, r.Value)
		default:
			v.report.Artifacts++
		}
		v.o.Progress("artifacts hashed", n+1, uint64(len(m.Artifacts)))
	}
	slices.SortFunc(signed, compare)
	left := 0
	for _, d := range slices.Compact(signed) {
		_, there := m.artifact(d)
		_, missing := slices.BinarySearchFunc(m.Missing, d, compare)
		switch {
		case there:
		case missing || m.LeftOut:
			left++
		default:
			v.failed("artifacts", "%s is signed by a statement, and the manifest does not name it", d)
		}
	}
	v.summary("artifacts", "%d have their digests", v.report.Artifacts)
	if left > 0 {
		v.unchecked("artifacts", "%d that statements sign are not in the export, as its manifest says", left)
	}
	return nil
}
