package main

import (
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// staticFiles makes a log of these statements, without a service, and gives
// its public directory.
func staticFiles(t *testing.T, keys *testlog.Keys, statements []*scitt.Statement) string {
	t.Helper()
	var entries [][]byte
	for _, st := range statements {
		entries = append(entries, st.Entry())
	}
	files, dir := &testlog.Files{}, t.TempDir()
	files.Publish(t, keys, entries)
	files.Put(tiles.ConfigurationPath, nil) // the files of a log without a service
	files.WriteTo(t, dir)
	return dir
}

func statement(t *testing.T, subject string) *scitt.Statement {
	t.Helper()
	return testlog.Must(scitt.ParseStatement(testlog.Statement(t, testlog.Key(t, "EdDSA"), subject, []byte(subject))))(t)
}

func entryOf(t *testing.T, statement []byte) []byte {
	return testlog.Must(scitt.ParseStatement(statement))(t).Entry()
}
