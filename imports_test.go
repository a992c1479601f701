package conmotion_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/conmotion/conmotion/"

// ours says which of our packages a package may import. Tests may import more.
// Whoever is not here is a program and may import everything.
var ours = map[string][]string{
	"scitt":             {"scitt/did", "scitt/internal/pubkey"},
	"scitt/did":         {"scitt/internal/pubkey"},
	"scitt/client":      {"scitt"},
	"tiles":             {"scitt", "internal/parallel"},
	"policy":            {"scitt", "scitt/did", "policy/ocsf"},
	"policy/ocsf":       {},
	"storage":           {"scitt", "tiles", "internal/durable"},
	"storage/index":     {"scitt", "tiles", "internal/parallel"},
	"storage/artifact":  {"internal/durable"},
	"storage/search":    {"scitt", "tiles", "policy/ocsf", "internal/parallel"},
	"personality":       {"scitt", "tiles"},
	"monitor":           {"scitt", "tiles", "policy/ocsf", "internal/parallel"},
	"monitor/importer":  {"policy/ocsf"},
	"monitor/party":     {"scitt", "scitt/did", "scitt/client", "tiles", "monitor", "internal/durable", "internal/parallel"},
	"monitor/watch":     {"scitt", "tiles", "policy", "policy/ocsf", "monitor", "monitor/party", "witness/audit", "internal/durable"},
	"monitor/report":    {"scitt", "tiles", "monitor"},
	"witness/audit":     {"scitt", "tiles", "policy", "internal/durable", "internal/parallel"},
	"internal/bench":    {"scitt"},
	"internal/durable":  {},
	"internal/parallel": {},
}

// heavy may not be behind what a Relying Party imports, or runs.
var heavy = []string{
	"github.com/transparency-dev/tessera", "modernc.org/sqlite", "database/sql",
	"github.com/aws/", "cloud.google.com/", "go.opentelemetry.io/otel/sdk",
}

// light are what a Relying Party imports, or runs. The tool has commands that
// need what is heavy; built with -tags light it is without them.
var light = []string{"scitt", "scitt/did", "tiles", "policy", "policy/ocsf", "scitt/client", "witness/audit", "monitor", "monitor/party", "monitor/watch", "monitor/report", "cmd/conmotion"}

type goPackage struct {
	ImportPath    string
	Imports, Deps []string
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "light", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		if allowed, ok := ours[name]; ok {
			found++
			for _, i := range p.Imports {
				if i, own := strings.CutPrefix(i, module); own && !slices.Contains(allowed, i) {
					t.Errorf("%s imports %s", name, i)
				}
			}
		}
		if !slices.Contains(light, name) {
			continue
		}
		for _, d := range p.Deps {
			for _, h := range heavy {
				if strings.HasPrefix(d, h) {
					t.Errorf("%s depends on %s", name, d)
				}
			}
		}
		if name == "scitt" && slices.Contains(p.Deps, "net/http") {
			t.Errorf("%s links an HTTP stack", name)
		}
	}
	if found < 10 {
		t.Errorf("only %d of our packages were looked at", found)
	}
}
