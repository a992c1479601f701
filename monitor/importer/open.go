package importer

import (
	"archive/zip"
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"

	"github.com/conmotion/conmotion/internal/plain"
)

// maxExpanded is how many bytes one compressed input may become: a file that was made to fill disks is told from one
// that is large, and the largest inventories are far below.
const maxExpanded = 16 << 30

// errStop ends a walk.
var errStop = errors.New("importer: enough")

// Walk opens what name stands for, and calls read for each input in it, until read returns false: a file, the files of a
// directory and of those below it, the members of a .zip, or stdin for "-". Names that begin with a dot are left out of
// directories, and so are links to directories; what else cannot be read in one is a [Problem]. The rows of an Apache Parquet file are read as JSON lines. The order is that of the names; the items are
// put in order by [Sorted]. A .zip or Parquet file on stdin, or in a .zip, goes to a temporary file that has no name any
// more, so a crash leaves nothing of it. The context ends waiting for a pipe.
func Walk(ctx context.Context, name string, stdin io.Reader, read func(name string, in io.Reader) bool) error {
	w := walk{ctx, read, maxExpanded, maxExpanded}
	var err error
	if name == "-" {
		err = w.open(name, stdin, false)
	} else {
		err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			hidden := path != name && strings.HasPrefix(d.Name(), ".")
			switch {
			case err != nil && path == name:
				return err
			case err != nil:
				return w.unreadable(path, err)
			case d.IsDir() && hidden:
				return fs.SkipDir
			case d.IsDir() || hidden:
				return nil
			}
			switch info, err := os.Stat(path); {
			case err != nil && path != name: // a link to what is not there
				return w.unreadable(path, err)
			case err != nil:
				return err
			case path != name && !info.Mode().IsRegular():
				return nil
			}
			return w.file(path, path != name)
		})
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

type walk struct {
	ctx  context.Context
	read func(string, io.Reader) bool
	most int64 // bytes that one compressed input may become
	pipe int64 // bytes that an archive on stdin may have
}

// unreadable has an input of a directory read that cannot be read: it is a [Problem] of its own, and the others go on.
func (w walk) unreadable(path string, err error) error {
	if !w.read(path, failing{&Problem{File: path, Reason: fmt.Sprintf("it is not read: %v", err)}}) {
		return errStop
	}
	return nil
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// file reads a file, which is one of a directory or was given.
func (w walk) file(path string, one bool) error {
	f, err := plain.OpenInput(w.ctx, path)
	if err != nil && one {
		return w.unreadable(path, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() { // a link to a directory was given
		return fmt.Errorf("importer: %s is a link to a directory: give the directory", path)
	}
	return w.open(path, f, false)
}

// open reads one input by what it begins with.
func (w walk) open(name string, in io.Reader, inside bool) error {
	b := bufio.NewReader(plain.Reader(w.ctx, in))
	magic, _ := b.Peek(4)
	switch m := string(magic); {
	case m == "PK\x03\x04" && inside:
		return fmt.Errorf("importer: %s: a .zip in a .zip: unpack it, and give the directory", name)
	case m != "PK\x03\x04" && m != "PAR1":
		if !w.read(name, b) {
			return errStop
		}
		return nil
	}
	f, ok := in.(*os.File)
	if _, err := fstat(f, ok); err != nil {
		if f, err = temporary(); err != nil {
			return err
		}
		defer f.Close()
		size, err := io.Copy(f, io.LimitReader(b, w.pipe+1))
		if err == nil && size > w.pipe {
			err = fmt.Errorf("it has more than %d bytes: give it as a file", w.pipe)
		}
		if err != nil {
			return fmt.Errorf("importer: %s: %w", name, err)
		}
	}
	size, err := fstat(f, true)
	if err != nil {
		return fmt.Errorf("importer: %s: %w", name, err)
	}
	if string(magic) == "PK\x03\x04" {
		return w.zip(name, f, size)
	}
	rows, err := parquetRows(f, size)
	if err != nil {
		return fmt.Errorf("importer: %s: %w", name, err)
	}
	if !w.read(name, rows) {
		return errStop
	}
	return nil
}

// fstat is the size of a regular file, from which can be read at any place.
func fstat(f *os.File, ok bool) (int64, error) {
	if !ok {
		return 0, fs.ErrInvalid
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (w walk) zip(name string, f io.ReaderAt, size int64) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("importer: %s: %w", name, err)
	}
	slices.SortFunc(z.File, func(a, b *zip.File) int { return cmp.Compare(a.Name, b.Name) })
	left := w.most
	for _, m := range z.File {
		if m.FileInfo().IsDir() {
			continue
		}
		in, err := m.Open()
		if err != nil {
			return fmt.Errorf("importer: %s/%s: %w", name, m.Name, err)
		}
		err = w.open(name+"/"+m.Name, &expanding{in, &left}, true)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}

// expanding is compressed input, of which so many bytes are left to come.
type expanding struct {
	in   io.Reader
	left *int64
}

func (e *expanding) Read(p []byte) (int, error) {
	n, err := e.in.Read(p)
	if *e.left -= int64(n); *e.left < 0 {
		return 0, errors.New("importer: it expands to more than 16 GiB: is it what it seems? Unpack it, and give the files")
	}
	return n, err
}

// temporary is a file without a name.
func temporary() (*os.File, error) {
	f, err := os.CreateTemp("", "conmotion-import-")
	if err != nil {
		return nil, fmt.Errorf("importer: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("importer: %w", err), f.Close())
	}
	return f, nil
}

// unread are the beginnings of what is not read, and what to do about it.
var unread = map[string]string{
	"PK\x03\x04":       "a .zip: give it as a file",
	"PAR1":             "Apache Parquet: give it as a file",
	"\x28\xb5\x2f\xfd": "compressed with zstd: zstd -dc FILE, and - for the file",
	"\xfd7zX":          "compressed with xz: xz -dc FILE, and - for the file",
	"BZh":              "compressed with bzip2: bzip2 -dc FILE, and - for the file",
	"%PDF":             "a PDF: export JSON",
	"\x89PNG":          "a picture",
}

// unpacked undoes gzip, of one member or several, in which AWS Config delivers its files. It takes off a byte order mark
// and makes UTF-8 of UTF-16, which PowerShell writes.
func unpacked(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	if magic, _ := b.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("importer: gzip: %w", err)
		}
		left := int64(maxExpanded)
		b = bufio.NewReader(&expanding{z, &left})
	}
	magic, _ := b.Peek(4)
	for m, what := range unread {
		if strings.HasPrefix(string(magic), m) {
			return nil, fmt.Errorf("importer: it is %s", what)
		}
	}
	m := string(magic)
	// JSON is not waited for: who feeds events one by one sends the next one when this one is registered.
	if json := m == "" || strings.ContainsAny(m[:1], "{[ \t\r\n"); !json {
		if tar, _ := b.Peek(262); len(tar) == 262 && string(tar[257:]) == "ustar" {
			return nil, errors.New("importer: it is a .tar: unpack it, and give the directory")
		}
	}
	switch order := unicode.LittleEndian; {
	case strings.HasPrefix(m, "\xef\xbb\xbf"):
		if _, err := b.Discard(3); err != nil {
			return nil, fmt.Errorf("importer: %w", err)
		}
	case strings.HasPrefix(m, "\xfe\xff"), len(m) > 1 && m[0] == 0 && (m[1] == '{' || m[1] == '['):
		order = unicode.BigEndian
		fallthrough
	case strings.HasPrefix(m, "\xff\xfe"), len(m) > 1 && m[1] == 0 && (m[0] == '{' || m[0] == '['):
		return unicode.UTF16(order, unicode.UseBOM).NewDecoder().Reader(b), nil
	}
	return b, nil
}
