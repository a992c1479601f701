package cli

import (
	"strings"

	"github.com/spf13/pflag"
)

// Strings adds a flag that can be given several times. StringArrayVar of pflag makes a CSV writer to say that there is no
// default, for each flag of each command: that was two thirds of the memory that making the tool's commands took.
func Strings(flags *pflag.FlagSet, to *[]string, name, usage string) {
	*to = nil
	flags.Var((*stringArray)(to), name, usage)
}

type stringArray []string

// Set implements [pflag.Value].
func (s *stringArray) Set(value string) error { *s = append(*s, value); return nil }

// Type implements [pflag.Value]: how the help calls it.
func (s *stringArray) Type() string { return "stringArray" }

// String implements [pflag.Value].
func (s *stringArray) String() string { return strings.Join(*s, ",") }
