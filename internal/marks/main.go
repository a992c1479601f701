// Command marks holds the code to what this project promises of itself: its
// import graph, one way for each thing, and an example for each public package.
// It fails when one of these is broken. The figures that it prints never fail:
// lines, exported identifiers and sizes of files, and with a flag what the
// tests cover and how long they take. It runs in the root of the module.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	cover := flag.Bool("cover", false, "run all tests and print what those of each package cover of it (minutes)")
	times := flag.Bool("time", false, "run all tests and print how long those of each package take (minutes)")
	flag.Parse()
	pkgs, err := list()
	var files []*goFile
	if err == nil {
		files, err = parse(".")
	}
	said, wordsErr := words(".")
	broken := slices.Concat(graph(pkgs), oneWay(files), withoutExample(pkgs, files), said)
	err = cmp.Or(err, wordsErr)
	if err == nil {
		err = printFigures(os.Stdout, files, *cover, *times)
	}
	if err == nil && len(broken) > 0 {
		err = fmt.Errorf("%d marks are missed:\n  %s", len(broken), strings.Join(broken, "\n  "))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "marks:", err)
		os.Exit(1)
	}
}

// goPackage is a package as go list knows it.
type goPackage struct {
	ImportPath, Name                   string
	Imports, Deps                      []string
	GoFiles, TestGoFiles, XTestGoFiles []string
}

// list returns the packages of the module.
func list() (pkgs []goPackage, err error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Imports,Deps,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	for dec := json.NewDecoder(strings.NewReader(string(out))); err == nil; {
		var p goPackage
		if err = dec.Decode(&p); err == nil {
			pkgs = append(pkgs, p)
		}
	}
	if err != io.EOF {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return pkgs, nil
}

// goFile is a Go file of the module, whatever its build tags.
type goFile struct {
	path, room string // from the module's root, with slashes; the room is the folder
	lines      int
	test       bool
	*ast.File
}

// below reports whether the file is place, or in the folder place.
func (f *goFile) below(place string) bool { return strings.HasPrefix(f.path+"/", place+"/") }

// parse reads all Go files below a directory but those in testdata.
func parse(root string) (files []*goFile, err error) {
	return files, fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && name != "." && (name[0] == '.' || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if err != nil || path.Ext(name) != ".go" {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), name, data, parser.SkipObjectResolution)
		files = append(files, &goFile{name, path.Dir(name), strings.Count(string(data), "\n"), strings.HasSuffix(name, "_test.go"), tree})
		return err
	})
}
