package main

import (
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/cli/clitest"
	"github.com/conmotion/conmotion/cmd/internal/version"
)

// TestSchemas: each command has a schema of what it prints, which docs/tool.md names.
func TestSchemas(t *testing.T) {
	clitest.Printed{
		"log add":    {Logs{}},
		"log list":   {Logs{}},
		"log remove": {Logs{}},
		"try":        {Tried{}},
		"version":    {version.Info{}},
	}.Check(t, root(&cli.App{}), "../../docs")
}
