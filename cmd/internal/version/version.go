// Package version reports which build of a program is running.
package version

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Info describes a build. Empty fields were not recorded in the binary: `go install
// module@version` records a version and no revision, a build outside a git
// clone (or with -buildvcs=false) neither.
type Info struct {
	Program  string `json:"program"`
	Module   string `json:"module"`
	Version  string `json:"version,omitempty"`  // of the module: a tag, or a pseudo-version made of the revision
	Revision string `json:"revision,omitempty"` // of the version control system, in hexadecimal
	Time     string `json:"time,omitempty"`     // of the revision (RFC 3339)
	Modified bool   `json:"modified,omitempty"` // the source differed from the revision
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

// read returns what the running binary records about itself.
func read(program string) Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return from(program, build)
}

func from(program string, build *debug.BuildInfo) Info {
	i := Info{Program: program, Module: build.Main.Path, Version: build.Main.Version, Go: build.GoVersion, Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if i.Version == "(devel)" { // what go writes for "none"
		i.Version = ""
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.time":
			i.Time = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	return i
}

// String returns one line for people.
func (i Info) String() string {
	words := []string{i.Program}
	switch {
	case i.Version != "":
		words = append(words, i.Version)
	case i.Revision == "":
		words = append(words, "(version and revision not recorded; build in a git clone, or with go install MODULE@VERSION)")
	}
	if i.Revision != "" {
		words = append(words, "revision", i.Revision)
	}
	if i.Modified {
		words = append(words, "(modified)")
	}
	return strings.Join(append(words, i.Go, i.Platform), " ")
}

// Add gives a program's root command the flag --version and the command
// "version", which print JSON with --json.
func Add(root *cobra.Command) {
	alone := root.PersistentFlags().Lookup("json") == nil
	if alone {
		root.PersistentFlags().Bool("json", false, "print JSON, for programs, with --version")
	}
	run := func(cmd *cobra.Command, _ []string) error {
		info := read(root.Name())
		asJSON, err := cmd.Flags().GetBool("json")
		if err == nil && !asJSON {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), info)
		}
		if err != nil || !asJSON {
			return err
		}
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(info)
	}
	asked, otherwise := root.Flags().BoolP("version", "v", false, "print which build this is"), root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *asked:
			return run(cmd, args)
		case alone && cmd.Flags().Changed("json"):
			return errors.New("--json goes with --version")
		}
		return otherwise(cmd, args)
	}
	root.AddCommand(&cobra.Command{
		Use: "version", Short: "Print which build this is",
		Long: `Print the version of the module, the revision that the program was built from,
whether the source was modified, and the version of Go.`,
		Example: "  " + root.Name() + " version --json",
		Args:    cobra.NoArgs, RunE: run,
	})
}
