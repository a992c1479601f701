package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/monitor/party"
)

// nameHelp is what --name does.
const nameHelp = `ISSUER=NAME or ORIGIN=NAME: what you call an issuer or a log, shown as «NAME» and remembered in --home; "ISSUER=" forgets it; once for each`

// readNames reads the names that the command's --home remembers, and remembers those
// of --name there.
func (a *App) readNames(cmd *cobra.Command) (err error) {
	more := party.Names{}
	for _, pair := range a.given {
		i := strings.LastIndex(pair, "=") // an issuer may have "=" in it
		if i < 1 {
			return Usage(fmt.Errorf("--name %q is not ISSUER=NAME", pair))
		}
		more[pair[:i]] = pair[i+1:]
	}
	var home party.Home
	if no := cmd.Flags().Lookup("no-home"); no == nil || no.Value.String() != "true" {
		var flag string
		if f := cmd.Flags().Lookup("home"); f != nil {
			flag = f.Value.String()
		}
		if home, err = a.HomeOf(flag); err != nil && len(more) > 0 {
			return err
		}
	}
	if len(more) > 0 {
		a.Names, err = home.Call(cmd.Context(), more)
	} else {
		a.Names, err = home.Names()
	}
	return Usage(err)
}

// Given are the arguments of --name.
func (a *App) Given() []string { return a.given }

// named adds the names of what is in a JSON object to it, as its last member.
func (a *App) named(document []byte) []byte {
	names := a.Names.In(document)
	end := bytes.LastIndexByte(document, '}')
	if len(names) == 0 || document[0] != '{' {
		return document
	}
	member, err := json.Marshal(names)
	if err != nil {
		return document // cannot be: it is a map of strings
	}
	separator := ","
	if bytes.Equal(bytes.TrimSpace(document[:end]), []byte("{")) {
		separator = ""
	}
	return fmt.Appendf(nil, "%s%s\"names\":%s%s", document[:end], separator, member, document[end:])
}
