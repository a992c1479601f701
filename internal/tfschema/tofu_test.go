package tfschema_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
	"github.com/conmotion/conmotion/internal/tfschema"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTofu: tofu formats, validates and tests the modules, with our provider in the
// place of the real ones: it has their schemas and nothing behind them.
func TestTofu(t *testing.T) {
	tofu, err := exec.LookPath("tofu")
	if err != nil {
		if tofu, err = exec.LookPath("terraform"); err != nil {
			t.Skip("neither tofu nor terraform is installed")
		}
	}
	providers := t.TempDir()
	for _, name := range []string{"aws", "google"} {
		if err := os.Symlink(testprogram.Path(t, "../internal/tfschema/provider"), filepath.Join(providers, "terraform-provider-"+name)); err != nil {
			t.Fatal(err)
		}
	}
	rc := filepath.Join(t.TempDir(), "tofurc")
	write(t, rc, fmt.Sprintf(`provider_installation {
  dev_overrides {
    "hashicorp/aws"    = %[1]q
    "hashicorp/google" = %[1]q
  }
  direct {}
}
`, providers))
	// tofu writes beside the modules: a copy of them.
	root := t.TempDir()
	for _, dir := range []string{"terraform", "deploy"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS("../../"+dir)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), tofu, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
			"GOGC=400") // each ends before it has much to collect
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %v\n%s", dir, args, err, out)
		}
	}
	run(filepath.Join(root, "terraform"), "fmt", "-check", "-diff", "-recursive")
	for _, m := range testlog.Must(tfschema.Modules(filepath.Join(root, "terraform")))(t) {
		run(m.Dir, "get")
		run(m.Dir, "validate", "-no-color")
		if _, err := os.Stat(filepath.Join(m.Dir, "tests")); err == nil {
			run(m.Dir, "test", "-no-color")
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}
