package tfschema

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Module is a directory of .tf files.
type Module struct {
	Dir    string
	blocks hclsyntax.Blocks // of all its files
}

// Modules parses all modules below a directory.
func Modules(dir string) (modules []*Module, err error) {
	byDir := map[string]*Module{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".tf" || strings.Contains(path, ".terraform") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, problems := hclsyntax.ParseConfig(data, path, hcl.InitialPos)
		if problems.HasErrors() {
			return problems
		}
		at := filepath.Dir(path)
		if byDir[at] == nil {
			byDir[at] = &Module{Dir: at}
			modules = append(modules, byDir[at])
		}
		byDir[at].blocks = append(byDir[at].blocks, file.Body.(*hclsyntax.Body).Blocks...) // the parser's only kind
		return nil
	})
	return modules, err
}

// kind is what Used calls a resource or data source; "" for another block.
func kind(b *hclsyntax.Block) string {
	switch {
	case len(b.Labels) != 2:
		return ""
	case b.Type == "data":
		return "data." + b.Labels[0]
	case b.Type == "resource":
		return b.Labels[0]
	}
	return ""
}

// Used are the types of resources, and of data sources with "data." before them.
func Used(modules []*Module) []string {
	used := map[string]bool{}
	for _, m := range modules {
		for _, b := range m.blocks {
			if k := kind(b); k != "" {
				used[k] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// UsedBlocks are the types of the blocks in all modules.
func UsedBlocks(modules []*Module) map[string]bool {
	used := map[string]bool{}
	var collect func(hclsyntax.Blocks)
	collect = func(blocks hclsyntax.Blocks) {
		for _, b := range blocks {
			for _, name := range append(b.Labels, b.Type) { // a label names the type of a dynamic block
				used[name] = true
			}
			collect(b.Body.Blocks)
		}
	}
	for _, m := range modules {
		collect(m.blocks)
	}
	return used
}

// find is the schema of what Used names.
func find(providers map[string]*Provider, kind string) *Block {
	name, isData := strings.CutPrefix(kind, "data.")
	p := providers[strings.SplitN(name, "_", 2)[0]]
	if p == nil {
		return nil
	}
	if isData {
		return p.Data[name]
	}
	return p.Resources[name]
}

// meta are the arguments and blocks that the language has for all resources.
var meta = []string{"count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection"}

// Check says what in a module the providers, or the module itself, do not know.
func (m *Module) Check(providers map[string]*Provider) (wrong []string) {
	c := &check{providers: providers, declared: map[string]bool{}}
	for _, b := range m.blocks {
		switch k := kind(b); {
		case k != "":
			c.declared[k+"."+b.Labels[1]] = true
		case b.Type == "variable":
			c.declared["var."+b.Labels[0]] = true
		case b.Type == "module":
			c.declared["module."+b.Labels[0]] = true
		case b.Type == "locals":
			for name := range b.Body.Attributes {
				c.declared["local."+name] = true
			}
		}
	}
	for _, b := range m.blocks {
		if k := kind(b); k != "" {
			if schema := find(providers, k); schema == nil {
				c.say(b.Range(), "the schema of %s is not in the extract", k)
			} else {
				c.body(k, b.Body, schema, true)
			}
		}
		_ = hclsyntax.VisitAll(b.Body, func(n hclsyntax.Node) hcl.Diagnostics { // it has no problems of its own
			if t, ok := n.(*hclsyntax.ScopeTraversalExpr); ok {
				c.reference(t.Traversal)
			}
			return nil
		})
	}
	return c.wrong
}

type check struct {
	providers map[string]*Provider
	declared  map[string]bool
	wrong     []string
}

func (c *check) say(at hcl.Range, format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf("%s:%d: ", at.Filename, at.Start.Line)+fmt.Sprintf(format, args...))
}

// body holds the body of a block to its schema.
func (c *check) body(name string, body *hclsyntax.Body, schema *Block, top bool) {
	for _, a := range body.Attributes {
		if known, ok := schema.Attributes[a.Name]; top && slices.Contains(meta, a.Name) {
			continue
		} else if !ok {
			c.say(a.SrcRange, "%s has no argument %q", name, a.Name)
		} else if !known.Settable() {
			c.say(a.SrcRange, "%s sets %q itself", name, a.Name)
		}
	}
	for argument, a := range schema.Attributes {
		if a.Required() && body.Attributes[argument] == nil {
			c.say(body.SrcRange, "%s needs %q", name, argument)
		}
	}
	count := map[string]int{}
	for _, b := range body.Blocks {
		if top && slices.Contains(meta, b.Type) {
			continue
		}
		kind, inner := b.Type, b.Body
		if kind == "dynamic" {
			kind = b.Labels[0]
			for _, content := range b.Body.Blocks {
				inner = content.Body
			}
		}
		nested := schema.Blocks[kind]
		if nested == nil {
			c.say(b.Range(), "%s has no block %q", name, kind)
			continue
		}
		if count[kind]++; nested.One && count[kind] == 2 {
			c.say(b.Range(), "%s has at most one block %q", name, kind)
		}
		c.body(name+"."+kind, inner, &nested.Block, false)
	}
	for kind, nested := range schema.Blocks {
		if nested.Required && count[kind] == 0 {
			c.say(body.SrcRange, "%s needs a block %q", name, kind)
		}
	}
}

// reference holds a reference such as aws_lb.service.arn to what is declared and to
// the schema.
func (c *check) reference(t hcl.Traversal) {
	root := t.RootName()
	if root == "data" && len(t) > 1 {
		root += "." + step(t, 1)
		t = t[1:]
	}
	isResource := find(c.providers, root) != nil
	if !isResource && root != "var" && root != "local" && root != "module" || len(t) < 2 {
		return
	}
	if name := root + "." + step(t, 1); !c.declared[name] {
		c.say(t.SourceRange(), "%s is not declared", name)
	}
	at := 2
	if at < len(t) && step(t, at) == "" { // an index
		at++
	}
	if !isResource || at >= len(t) {
		return
	}
	schema, attribute := find(c.providers, root), step(t, at)
	if _, ok := schema.Attributes[attribute]; !ok && schema.Blocks[attribute] == nil && attribute != "" {
		c.say(t.SourceRange(), "%s has no attribute %q", root, attribute)
	}
}

// step is the name of one step of a reference, "" when it is an index.
func step(t hcl.Traversal, i int) string {
	if attr, ok := t[i].(hcl.TraverseAttr); ok {
		return attr.Name
	}
	return ""
}

// Keys are the keys of all object expressions below attributes of one name, such as
// the flags that a module gives.
func (m *Module) Keys(attribute string) (keys []string) {
	for _, b := range m.blocks {
		_ = hclsyntax.VisitAll(b.Body, func(n hclsyntax.Node) hcl.Diagnostics { // it has no problems of its own
			if a, ok := n.(*hclsyntax.Attribute); ok && a.Name == attribute {
				_ = hclsyntax.VisitAll(a.Expr, func(n hclsyntax.Node) hcl.Diagnostics { // as above
					if o, ok := n.(*hclsyntax.ObjectConsExpr); ok {
						for _, item := range o.Items {
							if key, problems := item.KeyExpr.Value(nil); !problems.HasErrors() {
								keys = append(keys, key.AsString())
							}
						}
					}
					return nil
				})
			}
			return nil
		})
	}
	return keys
}
