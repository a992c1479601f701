package importer

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/text/encoding/unicode"
)

// walked are the inputs that a name stands for, with the first bytes of what Split finds in them.
func walked(t testing.TB, name string, stdin io.Reader) (out []string, err error) {
	t.Helper()
	err = Walk(context.Background(), name, stdin, func(file string, in io.Reader) bool {
		var found []string
		for raw, err := range Split(in, Options{}) {
			if err != nil {
				found = append(found, err.Error())
			} else {
				found = append(found, string(raw.JSON))
			}
		}
		if rel, err := filepath.Rel(name, file); err == nil && name != "-" {
			file = filepath.ToSlash(rel)
		}
		out = append(out, file+" "+strings.Join(found, " "))
		return true
	})
	return out, err
}

func packed(t testing.TB, texts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, text := range texts { // each is a member
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err == nil {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func utf16(t testing.TB, order unicode.Endianness, mark unicode.BOMPolicy, text string) []byte {
	t.Helper()
	b, err := unicode.UTF16(order, mark).NewEncoder().Bytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWalk(t *testing.T) {
	const le, be = unicode.LittleEndian, unicode.BigEndian
	tar := make([]byte, 512)
	copy(tar[257:], "ustar")
	table := parquetTable(t)
	for name, tt := range map[string]struct {
		in, want string // one line for each input, or the error
	}{
		"JSON":                    {`{"a":1}`, `- {"a":1}`},
		"nothing":                 {"", "- "},
		"gzip":                    {string(packed(t, `{"a":1}`)), `- {"a":1}`},
		"gzip of several members": {string(packed(t, `{"a":1}`, "\n", `{"b":2}`)), `- {"a":1} {"b":2}`},
		"a mark":                  {"\xef\xbb\xbf[1]", "- 1"},
		"UTF-16":                  {string(utf16(t, le, unicode.UseBOM, `[{"a":"é😀"}]`)), `- {"a":"é😀"}`},
		"UTF-16, the other order": {string(utf16(t, be, unicode.UseBOM, `[{"a":"é"}]`)), `- {"a":"é"}`},
		"UTF-16 without a mark":   {string(utf16(t, le, unicode.IgnoreBOM, `[{"a":"é"}]`)), `- {"a":"é"}`},
		"and the other order":     {string(utf16(t, be, unicode.IgnoreBOM, `{"a":"é"}`)), `- {"a":"é"}`},
		"UTF-16 in gzip":          {string(packed(t, string(utf16(t, le, unicode.UseBOM, `[1]`)))), `- 1`},
		"zip":                     {string(zipped(t, "b/", "", "b/2.json", "[2]", "a.json.gz", string(packed(t, "[1]")))), "-/a.json.gz 1\n-/b/2.json 2"},
		"a zip in a zip":          {string(zipped(t, "a.zip", string(zipped(t, "x", "1")))), "importer: -/a.zip: a .zip in a .zip: unpack it, and give the directory"},
		"a zip in gzip":           {string(packed(t, string(zipped(t, "x", "1")))), "- importer: it is a .zip: give it as a file"},
		"a broken zip":            {"PK\x03\x04", "importer: -: zip: not a valid zip file"},
		"a tar":                   {string(tar), "- importer: it is a .tar: unpack it, and give the directory"},
		"zstd":                    {"\x28\xb5\x2f\xfd....", "- importer: it is compressed with zstd: zstd -dc FILE, and - for the file"},
		"parquet":                 {string(table), "- " + tableRows},
		"parquet in a zip":        {string(zipped(t, "p", string(table))), "-/p " + tableRows},
		"parquet in gzip":         {string(packed(t, string(table))), "- importer: it is Apache Parquet: give it as a file"},
		"a broken parquet":        {"PAR1....PAR1", "importer: -: parquet: "},
		"a parquet that lies":     {"PAR1\xfe\xff\xff\xefPAR1", "importer: -: parquet: the file says that its metadata have 4026531838 bytes, and it has 12"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := walked(t, "-", strings.NewReader(tt.in))
			if s := strings.Join(got, "\n"); err == nil && s != tt.want || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %q, %v\nwant %q", s, err, tt.want)
			}
		})
	}
}

// TestWalkFiles: a directory is read whole, in the order of names, but for what is hidden.
func TestWalkFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b/c.json": "[3]", "a.json": "[1]", "b/.hidden": "[9]", ".git/x": "[9]", "b/b.zip": string(zipped(t, "z", "[2]"))} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for to, from := range map[string]string{"a.json": "c.link", "b": "d.link", "nowhere": "a.link"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := walked(t, dir, nil)
	// What cannot be read is a problem, and what is behind it is read.
	broken := fmt.Sprintf("a.link importer: line 1, byte 0: jsontext: read error: line 0, byte 0: it is not read: stat %s: no such file or directory", filepath.Join(dir, "a.link"))
	if want := "[a.json 1 " + broken + " b/b.zip/z 2 b/c.json 3 c.link 1]"; fmt.Sprint(got) != want || err != nil {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	if got, err := walked(t, filepath.Join(dir, "b", "b.zip"), nil); fmt.Sprint(got) != "[z 2]" || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	n := 0
	if err := Walk(t.Context(), dir, nil, func(string, io.Reader) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("%d inputs, %v", n, err)
	}
	if _, err := walked(t, filepath.Join(dir, "none"), nil); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

// TestExpanding: a bomb ends with a plain error, in a .zip after all of its members together.
func TestExpanding(t *testing.T) {
	w := walk{t.Context(), func(_ string, in io.Reader) bool {
		_, err := io.Copy(io.Discard, in)
		if err != nil && !strings.Contains(err.Error(), "it expands to more than") {
			t.Error(err)
		}
		return err == nil
	}, 100, 1 << 20}
	bomb := zipped(t, "a", strings.Repeat(" ", 60), "b", strings.Repeat(" ", 60))
	if err := w.open("x", bytes.NewReader(bomb), false); !errors.Is(err, errStop) {
		t.Errorf("%v", err)
	}
	w.most = 120
	if err := w.open("x", bytes.NewReader(bomb), false); err != nil {
		t.Errorf("%v", err)
	}
}

// TestEndlessArchive: an archive on stdin has an end.
func TestEndlessArchive(t *testing.T) {
	for _, magic := range []string{"PK\x03\x04", "PAR1"} {
		w := walk{t.Context(), func(string, io.Reader) bool { return true }, 0, 1 << 20}
		if err := w.open("-", io.MultiReader(strings.NewReader(magic), &endless{text: strings.Repeat("\x00", 1<<10), n: 1 << 20}), false); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
			t.Errorf("%q: %v", magic, err)
		}
	}
}

type tableRow struct {
	Time   int64             `parquet:"time"`
	At     time.Time         `parquet:"time_dt,optional,timestamp(microsecond)"`
	Inner  *tableInner       `parquet:"inner,optional"`
	Map    map[string]string `parquet:"map"`
	List   []tableInner      `parquet:"list,list"`
	Binary []byte            `parquet:"binary,optional"`
	Yes    bool              `parquet:"yes"`
	Real   float64           `parquet:"real"`
}

type tableInner struct {
	Text string   `parquet:"text,optional"`
	Many []string `parquet:"many,list"`
	At   int64    `parquet:"at,optional,timestamp(millisecond)"`
}

// tableRows are the rows of parquetTable as JSON.
const tableRows = `{"binary":"b","inner":{"many":["p","q"],"text":"x"},"list":[{"at":"2026-03-01T08:00:00.123Z","many":[]}],"map":{"k":"v"},"real":1.5,"time":1,"time_dt":"2026-03-01T08:00:00.123Z","yes":true} {"list":[],"real":0,"time":2,"yes":false}`

// parquetTable has the kinds of columns that Security Lake's tables have.
func parquetTable(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[tableRow](&b, parquet.Compression(&parquet.Zstd))
	_, err := w.Write([]tableRow{{Time: 1, At: epoch, Inner: &tableInner{Text: "x", Many: []string{"p", "q"}}, Map: map[string]string{"k": "v"},
		List: []tableInner{{At: epoch.UnixMilli()}}, Binary: []byte("b"), Yes: true, Real: 1.5}, {Time: 2}})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzWalk: no input makes Walk panic or go on for ever, and the same input gives the same, but for a damaged Parquet
// file, whose pages its reader does not check.
func FuzzWalk(f *testing.F) {
	for _, seed := range [][]byte{parquetTable(f), zipped(f, "a", "[1]"), packed(f, "[1]", "[2]"), utf16(f, unicode.LittleEndian, unicode.UseBOM, "[1]")} {
		f.Add(seed)
		f.Add(seed[:len(seed)*2/3])
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		a, errA := walked(t, "-", bytes.NewReader(in))
		b, errB := walked(t, "-", bytes.NewReader(in))
		if bytes.Contains(in, []byte("PAR1")) {
			return
		}
		if fmt.Sprint(a) != fmt.Sprint(b) || (errA == nil) != (errB == nil) {
			t.Fatalf("%v, %v and %v, %v", a, errA, b, errB)
		}
	})
}
