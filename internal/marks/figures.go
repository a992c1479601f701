package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/types"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
)

// exported counts the types, functions, methods, fields and values that a file
// exports, in this order. It removes all else from the tree, so it comes last.
func exported(f *ast.File) (n [5]int) {
	ast.FileExports(f)
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.TypeSpec:
			n[0]++
		case *ast.FuncDecl:
			if node.Recv == nil {
				n[1]++
			} else if ast.IsExported(strings.TrimPrefix(types.ExprString(node.Recv.List[0].Type), "*")) {
				n[2]++
			}
			return false
		case *ast.InterfaceType:
			for _, m := range node.Methods.List {
				n[2] += len(m.Names)
			}
		case *ast.StructType:
			n[3] += node.Fields.NumFields()
		case *ast.ValueSpec:
			n[4] += len(node.Names)
			return false
		case *ast.FuncType:
			return false
		}
		return true
	})
	return n
}

// printFigures prints a row for each folder, and the sizes of files.
func printFigures(out io.Writer, files []*goFile, cover, times bool) error {
	rooms := map[string]*[7]int{} // lines, lines of tests, and what is exported
	var sizes []*goFile           // without tests
	for _, f := range files {
		n := [7]int{1: f.lines}
		if !f.test {
			sizes = append(sizes, f)
			n = [7]int{0: f.lines}
			if f.Name.Name != "main" {
				e := exported(f.File)
				copy(n[2:], e[:])
			}
		}
		for _, room := range []string{f.room, "~ all"} {
			if rooms[room] == nil {
				rooms[room] = &[7]int{}
			}
			for i := range n {
				rooms[room][i] += n[i]
			}
		}
	}
	tests := map[string]string{}
	if cover || times {
		// A package whose tests fail has no figures here: the tests are another step of CI.
		results, _ := exec.Command("go", "test", "-count=1", fmt.Sprintf("-cover=%t", cover), "./...").Output()
		for line := range strings.Lines(string(results)) {
			if status, rest, _ := strings.Cut(line, "\t"); strings.TrimSpace(status) == "ok" {
				name, figures, _ := strings.Cut(strings.TrimPrefix(rest, module), "\t")
				tests[name] = strings.Join(strings.Fields(figures), " ")
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "lines\ttests\ttypes\tfuncs\tmethods\tfields\tvalues\texported\t")
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		n := rooms[name]
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t  %s  %s\n", n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[2]+n[3]+n[4]+n[5]+n[6], name, tests[name])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	slices.SortFunc(sizes, func(a, b *goFile) int { return cmp.Compare(b.lines, a.lines) })
	over, _ := slices.BinarySearchFunc(sizes, 400, func(f *goFile, lines int) int { return cmp.Compare(lines, f.lines) })
	_, err := fmt.Fprintf(out, "%d files: the largest %s with %d lines, the median %d, %d over 400\n",
		len(sizes), sizes[0].path, sizes[0].lines, sizes[len(sizes)/2].lines, over)
	return err
}
