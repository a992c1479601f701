package testlog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Events are the project's own OCSF events and, where they are there, real ones, by name:
// files with one, or an array of them.
func Events(t testing.TB) map[string][]byte {
	t.Helper()
	root := Must(os.Getwd())(t)
	for !exists(filepath.Join(root, "go.mod")) {
		root = filepath.Dir(root)
	}
	all := map[string][]byte{}
	for _, dir := range []string{"policy/ocsf/testdata", "../shared/ocsf"} {
		for _, file := range Must(filepath.Glob(filepath.Join(root, dir, "*.json")))(t) {
			data := Must(os.ReadFile(file))(t)
			var many []json.RawMessage
			if json.Unmarshal(data, &many) != nil {
				many = []json.RawMessage{data}
			}
			for i, event := range many {
				var class struct {
					UID int `json:"class_uid"`
				}
				if json.Unmarshal(event, &class) == nil && class.UID > 0 { // and not a schema
					all[fmt.Sprintf("%s#%d", filepath.Base(file), i)] = event
				}
			}
		}
	}
	if len(all) < 7 {
		t.Fatalf("only %d events", len(all))
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
