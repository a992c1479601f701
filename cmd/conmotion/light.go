//go:build light

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

const (
	whereToSearch = "give --log with the URL of a service that searches"
	verifyHint    = "; this build (with the tag light) does not verify answers"
)

// heavy are the commands that link a database or the log engine: none in this
// build.
func (a *app) heavy() []*cobra.Command { return nil }

// localSearchFlags are the flags of what is not in this build.
type localSearchFlags struct{}

// addLocalSearch adds the flags that need the index: none in this build.
func addLocalSearch(_ *cobra.Command, f *searchFlags) { f.localSearchFlags = localSearchFlags{} }

// openLocalSearch is not reached: there is no --db.
func (a *app) openLocalSearch(context.Context, *searchFlags) (searcher, func(), error) {
	return nil, nil, usage(errors.New(whereToSearch))
}

func (a *app) openHolder(context.Context, *searchFlags) (holder, error) { return notHeld{}, nil }
