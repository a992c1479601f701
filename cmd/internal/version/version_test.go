package version

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/conmotion/conmotion/internal/testprogram"
)

func TestMain(m *testing.M) { testscript.Main(m, nil) }

// TestScripts runs testdata/script with both programs.
func TestScripts(t *testing.T) {
	programs := []string{filepath.Dir(testprogram.Path(t, "conmotion")), filepath.Dir(testprogram.Path(t, "conmotiond")), os.Getenv("PATH")}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", strings.Join(programs, string(filepath.ListSeparator)))
			env.Setenv("GOVERSION", runtime.Version())
			return nil
		},
	})
}

// TestFrom has the build information of each way to build.
func TestFrom(t *testing.T) {
	const revision = "0123456789abcdef0123456789abcdef01234567"
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{setting("vcs", "git"), setting("vcs.revision", revision), setting("vcs.time", "2026-01-02T03:04:05Z"), setting("vcs.modified", modified)}
	}
	for _, tc := range []struct {
		name, version string
		settings      []debug.BuildSetting
		want          string
	}{
		{"go install module@version", "v1.2.3", nil, "conmotion v1.2.3 go1.26.0 "},
		{"go build", "v0.0.0-20260102030405-0123456789ab", vcs("false"), "conmotion v0.0.0-20260102030405-0123456789ab revision " + revision + " go1.26.0 "},
		{"go build, modified", "v1.2.3+dirty", vcs("true"), "conmotion v1.2.3+dirty revision " + revision + " (modified) go1.26.0 "},
		{"a revision and no version", "(devel)", vcs("false"), "conmotion revision " + revision + " go1.26.0 "},
		{"outside a git clone", "(devel)", nil, "conmotion (version and revision not recorded; build in a git clone, or with go install MODULE@VERSION) go1.26.0 "},
	} {
		build := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Path: "m", Version: tc.version}, Settings: tc.settings}
		if got, want := from("conmotion", build).String(), tc.want+runtime.GOOS+"/"+runtime.GOARCH; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, want)
		}
	}
}
