package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestModule: the import graph of this module is what it should be.
func TestModule(t *testing.T) {
	t.Chdir("../..")
	// It opens all files, so that go test looks again when one of them changes.
	if _, err := parse("."); err != nil {
		t.Fatal(err)
	}
	pkgs, err := list()
	if err != nil {
		t.Fatal(err)
	}
	if broken := graph(pkgs); len(broken) > 0 {
		t.Error(strings.Join(broken, "\n"))
	}
}

func TestGraph(t *testing.T) {
	pkgs := []goPackage{{ImportPath: module + "cmd/anything", Imports: []string{module + "personality"}, Deps: []string{"modernc.org/sqlite"}}}
	for name := range ours {
		p := goPackage{ImportPath: module + name}
		for _, i := range ours[name] {
			p.Imports = append(p.Imports, module+i)
		}
		switch name {
		case "tiles":
			p.Imports = append(p.Imports, module+"policy", "fmt")
		case "scitt":
			p.Deps = []string{"net/http"}
		case "policy":
			p.Deps = []string{"net/http", "cloud.google.com/go/storage"}
		case "personality":
			p.Deps = []string{"modernc.org/sqlite"}
		case "internal/bench":
			continue // it is gone
		}
		pkgs = append(pkgs, p)
	}
	expect(t, graph(pkgs), "tiles imports policy", "scitt depends on net/http", "policy depends on cloud.google.com/go/storage", "internal/bench is in the import graph")
}

// tree parses the files of a module.
func tree(t *testing.T, files map[string]string) []*goFile {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("package p\n"+body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := parse(dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func expect(t *testing.T, broken []string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !slices.ContainsFunc(broken, func(b string) bool { return strings.HasPrefix(b, w) }) {
			t.Errorf("not found: %s", w)
		}
	}
	if len(broken) != len(want) {
		t.Errorf("%d found, want %d: %q", len(broken), len(want), broken)
	}
}

func TestOneWay(t *testing.T) {
	const (
		jsontext = "import \"github.com/go-json-experiment/json/jsontext\"\nvar _ jsontext.Value\n"
		utf16    = "import \"unicode/utf16\"\nvar _ = utf16.Decode\n"
		opens    = "import s \"github.com/conmotion/conmotion/scitt\"\nimport \"github.com/conmotion/conmotion/tiles\"\nvar _, _ = s.NewCheckpointVerifiers, tiles.NewLog(nil, s.X)\n"
		sha      = "import \"path\"\nvar _ = path.Join(\"x\", \"sha256\", \"ab\")\n"
	)
	expect(t, oneWay(tree(t, map[string]string{
		"internal/jsonx/read.go": jsontext, "policy/read.go": jsontext, "policy/read_test.go": jsontext,
		"internal/jsonx/utf_test.go": utf16, "storage/search/utf.go": utf16,
		"monitor/party/log.go": opens, "monitor/partyx/log.go": opens, "monitor/watch/validate.go": opens,
		"storage/artifact/reader/dir.go": sha, "witness/dir.go": sha, "witness/dir_test.go": sha,
		"witness/log.go": "import \"log/slog\"\nvar _ = slog.String(\"sha256\", \"\")\n", "testdata/p/read.go": utf16,
	})),
		"policy/read.go uses github.com/go-json-experiment/json/jsontext",
		"internal/jsonx/utf_test.go uses unicode/utf16", "storage/search/utf.go uses unicode/utf16",
		"monitor/partyx/log.go uses scitt.NewCheckpointVerifiers", "monitor/partyx/log.go uses tiles.NewLog",
		"witness/dir.go uses element: sha256")
}

func TestWithoutExample(t *testing.T) {
	files := tree(t, map[string]string{
		"with/a.go": "func A() {}\n", "with/a_test.go": "func ExampleA() {}\n",
		"without/a.go": "type A struct{}\n", "without/a_test.go": "func TestA() {}\n",
		"unbuilt/a.go": "type A struct{}\n", "unbuilt/tagged_test.go": "func ExampleA() {}\n",
		"private/a.go": "type a struct{ B int }\nfunc (a) C() {}\n", "internal/x/a.go": "const A = 1\n", "prog/a.go": "var A int\n",
	})
	var pkgs []goPackage
	for _, room := range []string{"with", "without", "unbuilt", "private", "internal/x", "prog"} {
		p := goPackage{ImportPath: module + room, Name: filepath.Base(room), GoFiles: []string{"a.go"}, TestGoFiles: []string{"a_test.go"}}
		if room == "prog" {
			p.Name = "main"
		}
		pkgs = append(pkgs, p)
	}
	expect(t, withoutExample(pkgs, files), "without is a public package", "unbuilt is a public package")
}

func TestFigures(t *testing.T) {
	files := tree(t, map[string]string{
		"a/a.go": `
type A[T any] struct { B, c int; D; e }
func (*A[T]) M() { type X int; const Y = 1 }
func (*A[T]) m() {}
type i interface { N() }
type I interface { N(); o(); i }
func (i2) M() {}
func F(A struct{ G int }) {}
const ( K, k = 1, 2 )
var V = struct{ W int }{}
`,
		"a/a_test.go": "func T() {}\n",
		"b/b.go":      strings.Repeat("\n", 400),
	})
	if got, want := exported(files[0].File), [5]int{2, 1, 2, 2, 2}; got != want {
		t.Errorf("exported %v, want %v", got, want)
	}
	var out strings.Builder
	if err := printFigures(&out, files, false, false); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"11 2 2 1 2 2 2 9 a", "401 0 0 0 0 0 0 0 b", "412 2 2 1 2 2 2 9 ~ all", "2 files: the largest b/b.go with 401 lines, the median 11, 1 over 400"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
