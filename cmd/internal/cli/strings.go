package cli

import (
	"fmt"

	"github.com/spf13/pflag"
)

// Strings adds a flag that can be given several times. It is StringArrayVar of pflag, but for that one's making a CSV writer
// for each flag of each command to say that there is no default, which was two thirds of the memory with which a program starts.
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
func (s *stringArray) String() string {
	if len(*s) == 0 {
		return ""
	}
	return fmt.Sprintf("%q", []string(*s))
}
