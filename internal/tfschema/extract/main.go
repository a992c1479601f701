// Command extract makes internal/tfschema/schemas.json. The arguments are the
// directories of the npm packages @cdktf/provider-aws and @cdktf/provider-google,
// which carry their provider's schema as generated code:
//
//	npm pack @cdktf/provider-aws @cdktf/provider-google    # and unpack both
//	go run ./internal/tfschema/extract aws/package google/package
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/tfschema"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}

func run(packages []string) error {
	modules, err := tfschema.Modules("terraform")
	if err != nil {
		return err
	}
	blocks := tfschema.UsedBlocks(modules)
	out := map[string]*tfschema.Provider{}
	for _, dir := range packages {
		var pkg struct {
			CDKTF struct {
				Provider struct{ Name, Version string }
			}
		}
		data, err := os.ReadFile(filepath.Join(dir, "package.json"))
		if err == nil {
			err = json.Unmarshal(data, &pkg)
		}
		if err != nil {
			return err
		}
		name := pkg.CDKTF.Provider.Name[strings.LastIndexByte(pkg.CDKTF.Provider.Name, '/')+1:]
		p := &tfschema.Provider{Version: pkg.CDKTF.Provider.Version, Resources: map[string]*tfschema.Block{}, Data: map[string]*tfschema.Block{}}
		out[name] = p
		for _, use := range tfschema.Used(modules) {
			kind, isData := strings.CutPrefix(use, "data.")
			short, ours := strings.CutPrefix(kind, name+"_")
			if !ours {
				continue
			}
			folder, into := short, p.Resources
			if isData {
				folder, into = "data-"+name+"-"+short, p.Data
			}
			if into[kind], err = readResource(blocks, filepath.Join(dir, "lib", strings.ReplaceAll(folder, "_", "-"))); err != nil {
				return fmt.Errorf("%s: %w", use, err)
			}
		}
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	// One line for each resource.
	data = regexp.MustCompile(`"(aws|google)(_\w+)?":\{`).ReplaceAll(data, []byte("\n$0"))
	return durable.WriteFile("internal/tfschema/schemas.json", append(data, '\n'), 0o644)
}

var (
	structs    = regexp.MustCompile(`(?s)function (\w+)ToHclTerraform\(struct\) \{(.*?)\n\}`)
	entry      = regexp.MustCompile(`(?s)\n {8,12}(\w+): \{\s+value: (.*?),\n\s+isBlock: (\w+),\s+type: "(\w+)",\s+storageClassType: "(\w+)"`)
	property   = regexp.MustCompile(`(?:struct|this)\.?_?(\w+)`)
	interfaces = regexp.MustCompile(`(?s)export interface (\w+)( extends cdktf\.TerraformMetaArguments)? \{(.*?)\n\}`)
	optional   = regexp.MustCompile(`readonly (\w+)(\??):`)
	getter     = regexp.MustCompile(`get(String|Number|Boolean|List|NumberList|StringMap)Attribute\('(\w+)'\)`)
	complexes  = regexp.MustCompile(`= new \w+\(this, "(\w+)"`)
)

// source is the generated code of one resource.
type source struct {
	used     map[string]bool            // blocks
	structs  map[string]string          // bodies of functions by the lower-case name of the interface
	required map[string]map[string]bool // properties by the lower-case name of the interface
}

func readResource(blocks map[string]bool, dir string) (*tfschema.Block, error) {
	js, err := os.ReadFile(filepath.Join(dir, "index.js"))
	if err != nil {
		return nil, err
	}
	types, err := os.ReadFile(filepath.Join(dir, "index.d.ts"))
	if err != nil {
		return nil, err
	}
	s := source{blocks, map[string]string{}, map[string]map[string]bool{}}
	for _, m := range structs.FindAllStringSubmatch(string(js), -1) {
		s.structs[strings.ToLower(m[1])] = m[2]
	}
	var main string
	for _, m := range interfaces.FindAllStringSubmatch(string(types), -1) {
		name := strings.ToLower(m[1])
		if m[2] != "" {
			main = name
		}
		s.required[name] = map[string]bool{}
		for _, p := range optional.FindAllStringSubmatch(m[3], -1) {
			s.required[name][p[1]] = p[2] == ""
		}
	}
	_, class, ok := cutClass(string(js))
	if !ok {
		return nil, errors.New("the class of the resource is not found")
	}
	computed, body, _ := strings.Cut(class, "synthesizeHclAttributes()")
	b, err := s.block(main, body)
	if err != nil {
		return nil, err
	}
	for _, m := range getter.FindAllStringSubmatch(computed, -1) {
		kind := map[string]string{"String": "string", "Number": "number", "Boolean": "bool", "List": "list(string)", "NumberList": "list(number)", "StringMap": "map(string)"}[m[1]]
		add(b, m[2], tfschema.Attribute("c "+kind))
	}
	for _, m := range complexes.FindAllStringSubmatch(computed, -1) {
		if !strings.Contains(body, "\n            "+m[1]+": {") { // a block that is not used
			add(b, m[1], "c any")
		}
	}
	return b, nil
}

// cutClass finds the last class, which is that of the resource.
func cutClass(js string) (before, after string, ok bool) {
	at := slices.Max(append([]int{strings.LastIndex(js, " extends cdktf.TerraformResource"), strings.LastIndex(js, " extends cdktf.TerraformDataSource")}, -1))
	if at < 0 {
		return js, "", false
	}
	return js[:at], js[at:], true
}

// add adds an attribute that is not known yet.
func add(b *tfschema.Block, name string, a tfschema.Attribute) {
	if _, known := b.Attributes[name]; !known && b.Blocks[name] == nil {
		b.Attributes[name] = a
	}
}

// block reads the entries of one function.
func (s *source) block(name, body string) (*tfschema.Block, error) {
	b := &tfschema.Block{Attributes: map[string]tfschema.Attribute{}, Blocks: map[string]*tfschema.Nested{}}
	for _, m := range entry.FindAllStringSubmatch(body, -1) {
		key, value, isBlock, kind, class := m[1], m[2], m[3] == "true", m[4], m[5]
		properties := property.FindAllStringSubmatch(value, -1)
		required := s.required[name][properties[len(properties)-1][1]]
		if !isBlock {
			letter := "o "
			if required {
				letter = "r "
			}
			t, err := typeOf(kind, class)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			b.Attributes[key] = tfschema.Attribute(letter + t)
			continue
		}
		if !required && !s.used[key] {
			continue
		}
		inner := strings.ToLower(strings.TrimSuffix(class, "List"))
		code, ok := s.structs[inner]
		if !ok {
			return nil, fmt.Errorf("%s: the code of %s is not found", key, class)
		}
		nested, err := s.block(inner, code)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		n := &tfschema.Nested{Nesting: kind, Required: required, One: !strings.Contains(value, "MapperHcl"), Block: *nested}
		if kind == "struct" {
			n.Nesting = "single"
		}
		b.Blocks[key] = n
	}
	return b, nil
}

// typeOf is a type in Terraform's language.
func typeOf(kind, class string) (string, error) {
	element, _ := strings.CutSuffix(strings.TrimSuffix(class, "Map"), "List")
	if element == "boolean" {
		element = "bool"
	}
	if !slices.Contains([]string{"string", "number", "bool", "any"}, element) {
		return "", fmt.Errorf("a type %s of %s", kind, class)
	}
	if kind == "simple" {
		return element, nil
	}
	return kind + "(" + element + ")", nil
}
