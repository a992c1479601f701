package main

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// rules say what is done in one place. A use is the path of a package,
// "path.Name" of a function, or "element: TEXT" of a path that is joined. Allowed are folders and files, with the reason.
var rules = []struct {
	thing   string
	uses    []string
	tests   bool // tests are held to it as well
	allowed map[string]string
}{
	{thing: "JSON is read", uses: []string{"github.com/go-json-experiment/json", "github.com/go-json-experiment/json/jsontext"}, allowed: map[string]string{
		"internal/jsonx": "the reader",
	}},
	{thing: "JSON is read", uses: []string{"github.com/gowebpki/jcs", "unicode/utf16"}, tests: true}, // internal/jsonx needs neither
	{thing: "somebody's log is opened", uses: []string{module + "scitt.NewCheckpointVerifiers", module + "tiles.NewLog", module + "tiles.Open"}, allowed: map[string]string{
		"monitor/party": "the opener",
		"cmd/conmotiond/internal/daemon/daemon.go":   "a service's own log",
		"cmd/conmotiond/internal/daemon/identity.go": "a service's own log",
		"cmd/conmotiond/internal/daemon/keyring.go":  "a service's own log",
		"cmd/conmotiond/internal/daemon/migrate.go":  "a service's own log",
		"cmd/conmotiond/internal/daemon/rekey.go":    "a service's own log",
		"cmd/conmotiond/internal/daemon/snapshot.go": "a service's own log",
		"witness/keeper/judge.go":                    "judges a log under the checkpoints of its witness",
		"cmd/conmotion-witness/roles.go":             "reads the files under a checkpoint that the witness cosigned",
		"tiles/keys.go":                              "reads the checkpoint that hands a log over to new keys",
		"monitor/verify/accuse.go":                   "verifies a proof with keys and reads no log",
		"monitor/watch/validate.go":                  "checks the keys in a configuration",
		"internal/testlog":                           "makes and checks logs for tests",
		"internal/vectors":                           "makes a checkpoint for the test vectors",
	}},
	// internal/plain waits for a pipe that the user names until the context ends; internal/durable opens no pipe where a program keeps its own.
	{thing: "files are read so that no pipe holds up the end", uses: []string{"os.ReadFile"}, allowed: map[string]string{
		"internal":                 "tools and helpers for tests, and the two readers",
		"cmd/internal/cli/clitest": "a helper for tests",
		"policy/ocsf/gen.go":       "a generator",
	}},
	{thing: "artifacts are found by digest", uses: []string{"element: sha256"}, allowed: map[string]string{
		"storage/artifact":         "the storage and its reader",
		"scitt/client/artifact.go": "the address of an artifact at a service",
	}},
}

// oneWay returns the uses that make a second way for a thing.
func oneWay(files []*goFile) (broken []string) {
	for _, f := range files {
		for _, r := range rules {
			if f.test && !r.tests || slices.ContainsFunc(slices.Collect(maps.Keys(r.allowed)), f.below) {
				continue
			}
			for _, u := range uses(f.File) {
				if slices.Contains(r.uses, u) {
					broken = append(broken, fmt.Sprintf("%s uses %s: %s in one place (internal/marks/rules.go)", f.path, strings.TrimPrefix(u, module), r.thing))
				}
			}
		}
	}
	return broken
}

// uses returns what a file uses, each once.
func uses(f *ast.File) (out []string) {
	imported := map[string]string{} // paths by names
	for _, i := range f.Imports {
		p := strings.Trim(i.Path.Value, `"`)
		out = append(out, p)
		imported[path.Base(p)] = p
		if i.Name != nil {
			imported[i.Name.Name] = p
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && imported[x.Name] != "" {
				out = append(out, imported[x.Name]+"."+n.Sel.Name)
			}
		case *ast.CallExpr: // filepath.Join, path.Join and url.URL.JoinPath
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Join") {
				for _, arg := range n.Args {
					if text, ok := arg.(*ast.BasicLit); ok {
						out = append(out, "element: "+strings.Trim(text.Value, `"`))
					}
				}
			}
		}
		return true
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// withoutExample returns the public packages without an example in the test
// files that are built.
func withoutExample(pkgs []goPackage, files []*goFile) (broken []string) {
	for _, p := range pkgs {
		public, example := false, false
		for _, f := range files {
			if module+f.room != p.ImportPath {
				continue
			}
			public = public || slices.Contains(p.GoFiles, path.Base(f.path)) && exported(f.File) != [5]int{}
			if slices.Contains(slices.Concat(p.TestGoFiles, p.XTestGoFiles), path.Base(f.path)) {
				example = example || slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
					fn, ok := d.(*ast.FuncDecl)
					return ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example")
				})
			}
		}
		if public && !example && p.Name != "main" && !slices.Contains(strings.Split(p.ImportPath, "/"), "internal") {
			broken = append(broken, strings.TrimPrefix(p.ImportPath, module)+" is a public package without an example")
		}
	}
	return broken
}
