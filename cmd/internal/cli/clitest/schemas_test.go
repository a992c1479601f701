package clitest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
)

type leaf struct {
	Name string `json:"name"`
	Data []byte `json:"data,omitempty"`
	Sub  []leaf `json:"sub,omitempty"`
}

func TestValidate(t *testing.T) {
	docs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(docs, "schemas", "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(docs, "schemas", "other.schema.json"), []byte(`{"$id": "`+base+`other.schema.json", "type": "integer"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	page := "| `tool leaf` | [schema](schemas/tool/tool-leaf.schema.json) |\n"
	if err := os.WriteFile(filepath.Join(docs, "tool.md"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("UPDATE_SCHEMAS", "1")
	root, run := &cobra.Command{Use: "tool"}, func(*cobra.Command, []string) {}
	cmd := &cobra.Command{Use: "leaf"}
	cmd.AddCommand(&cobra.Command{Use: "below", Run: run})
	root.AddCommand(cmd)
	p := Printed{"leaf": {leaf{}, Document("other")}}
	p.Check(t, root, docs)
	for printed, good := range map[string]bool{
		``:                                  true,
		`{"name": "a"}`:                     true,
		`{"name": "a"}{"name": "b"}` + "\n": true,
		`{"name": "a", "data": "AAA=", "sub": [{"name": "b"}]} 17`: true,
		`{}`:                                     false, // a member is missing
		`{"name": 1}`:                            false,
		`{"name": "a", "more": 1}`:               false,
		`{"name": "a"} "b"`:                      false,
		`{"name": "a", "sub": [{"nothing": 1}]}`: false,
		`{"name": "a"`:                           false,
	} {
		if err := p.Validate(docs, "tool", "leaf below", []byte(printed)); (err == nil) != good {
			t.Errorf("%s: %v", printed, err)
		}
	}
	if err := p.Validate(docs, "tool", "another", []byte(`{}`)); err == nil {
		t.Error("a command without a schema passed")
	}
}
