package importer

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// maxColumn is how large a column of a row group of an Apache Parquet file may be, in bytes: its reader keeps pages.
const maxColumn = 1 << 30

// parquetRows gives the rows of an Apache Parquet file as JSON lines. Columns without a value are left out, and a
// timestamp is written as RFC 3339. Line n of it is row n.
func parquetRows(f io.ReaderAt, size int64) (_ io.Reader, err error) {
	defer recovered(&err)
	if err := footerFits(f, size); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	for _, group := range file.Metadata().RowGroups {
		for _, c := range group.Columns {
			if c.MetaData.TotalUncompressedSize > maxColumn {
				return nil, fmt.Errorf("parquet: the column %v has %d bytes in one row group, more than %d", c.MetaData.PathInSchema, c.MetaData.TotalUncompressedSize, maxColumn)
			}
		}
	}
	reader, schema := parquet.NewGenericReader[object](file, file.Schema()), file.Schema()
	return &lined{next: func() (_ any, err error) {
		defer recovered(&err)
		row := []object{{}}
		if n, err := reader.Read(row); n == 0 {
			return nil, cmp.Or(err, io.EOF)
		}
		return told(schema, row[0]), nil
	}}, nil
}

// footerFits checks that the file has as much metadata as it says: the library takes memory for that before it reads them.
// Parquet format, "File format": they are followed by "4-byte length in bytes of file metadata (little endian)" and "4-byte
// magic number".
func footerFits(f io.ReaderAt, size int64) error {
	var end [8]byte
	if size < int64(len("PAR1")+len(end)) {
		return errors.New("parquet: the file is too short to be one")
	}
	if _, err := f.ReadAt(end[:], size-int64(len(end))); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	if n := binary.LittleEndian.Uint32(end[:]); int64(n) > size-int64(len("PAR1")+len(end)) {
		return fmt.Errorf("parquet: the file says that its metadata have %d bytes, and it has %d", n, size)
	}
	return nil
}

// recovered makes an error of a panic: the library has them for files that contradict themselves.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("parquet: the file contradicts itself: %v", p)
	}
}

// lined writes what next gives as JSON lines.
type lined struct {
	next func() (any, error)
	line []byte
	err  error // that ended it
}

// Read implements [io.Reader].
func (l *lined) Read(p []byte) (n int, err error) {
	if len(l.line) == 0 && l.err == nil {
		var v any
		if v, l.err = l.next(); l.err == nil {
			l.line, l.err = json.Marshal(v)
			l.line = append(l.line, '\n')
		} else if !errors.Is(l.err, io.EOF) {
			l.err = fmt.Errorf("importer: %w", l.err)
		}
	}
	if l.err != nil {
		return 0, l.err
	}
	n = copy(p, l.line)
	l.line = l.line[n:]
	return n, nil
}

// told is a value in JSON's terms.
func told(node parquet.Node, v any) any {
	switch v := v.(type) {
	case object:
		for name := range v {
			if v[name] = told(field(node, name), v[name]); v[name] == nil {
				delete(v, name)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case list:
		if _, ok := logical(node).(*format.ListType); ok && !node.Leaf() { // (LIST) { repeated group list { element } }
			if node = node.Fields()[0]; !node.Leaf() && len(node.Fields()) == 1 {
				node = node.Fields()[0]
			}
		}
		for i := range v {
			v[i] = told(node, v[i])
		}
	case []byte:
		return string(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	case int64:
		if stamp, ok := logical(node).(*format.TimestampType); ok {
			t := time.UnixMilli(v)
			switch stamp.Unit.Value.(type) {
			case *format.MicroSeconds:
				t = time.UnixMicro(v)
			case *format.NanoSeconds:
				t = time.Unix(0, v)
			}
			return t.UTC().Format(time.RFC3339Nano)
		}
	}
	return v
}

// logical is what the schema says of a node beyond how it is stored.
func logical(node parquet.Node) format.LogicalTypeValue {
	if node == nil || node.Type().LogicalType() == nil {
		return nil
	}
	return node.Type().LogicalType().Value
}

// field is what a member of a group is; of a map its value, and nil where the schema does not say.
func field(node parquet.Node, name string) parquet.Node {
	if node == nil || node.Leaf() {
		return nil
	}
	if _, ok := logical(node).(*format.MapType); ok {
		node, name = node.Fields()[0], "value"
	}
	for _, f := range node.Fields() {
		if f.Name() == name {
			return f
		}
	}
	return nil
}
