//go:build !light

package main

import "github.com/spf13/cobra"

// heavy are the commands that link a database or the log engine. A build with
// the tag light, for those who only verify, is without them.
func (a *app) heavy() []*cobra.Command {
	return []*cobra.Command{a.demo(), a.index()}
}
