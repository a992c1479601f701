package mirror_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/mirror"
)

// Copy a log into a directory, and verify the copy from its files alone.
func Example() {
	ctx := context.Background()
	source, keys := exampleLog()
	files := tiles.NewLog(source, keys.Verifiers)
	view, err := files.Latest(ctx)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "mirror")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	exported, err := mirror.Export(ctx, mirror.Log{Files: files, View: view, VKeys: keys.VKeys, Extends: view.Consistency}, dir, mirror.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(exported.Manifest.Checkpoint.Size, "entries in", len(exported.Manifest.Files), "files")

	report, err := mirror.Verify(ctx, dir, mirror.VerifyOptions{
		// The tool opens it with party.Open, which remembers logs.
		Open: func(ctx context.Context, _ []string) (mirror.Opened, error) {
			files := tiles.NewLog(tiles.Dir(dir), keys.Verifiers)
			view, err := files.Latest(ctx)
			if err != nil {
				return mirror.Opened{}, err
			}
			return mirror.Opened{Files: files, Checkpoint: view.Checkpoint, View: view, VKeys: keys.VKeys, Given: true}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Verified, report.Statements, "statements")
	// Output:
	// 3 entries in 5 files
	// true 3 statements
}

// exampleLog is a log with one statement behind its keys and its policy.
func exampleLog() (tiles.Source, *testlog.Keys) {
	t := testlog.Example{}
	files, keys := &testlog.Files{}, testlog.NewKeys(t)
	statement := testlog.Statement(t, testlog.Key(t, "ES256"), "host-17", []byte("running"))
	files.Publish(t, keys, append(keys.Begin(t, `{"version": 1}`), statement))
	return files, keys
}
