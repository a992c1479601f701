package main

import (
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/cli/clitest"
	"github.com/conmotion/conmotion/cmd/internal/searching"
	"github.com/conmotion/conmotion/cmd/internal/version"
	"github.com/conmotion/conmotion/storage/search"
)

// TestSchemas: each command has a schema of what it prints, which docs/tool.md names.
func TestSchemas(t *testing.T) {
	clitest.Printed{
		"search":  {searching.Entry{}, searching.Summary{}, search.Stats{}},
		"update":  {Report{}},
		"version": {version.Info{}},
	}.Check(t, root(&cli.App{}), "../../docs")
}
