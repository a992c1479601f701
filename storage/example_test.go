package storage_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/posix"
)

// Append an entry to a log on disk and wait until a public checkpoint covers it.
func ExampleLog_Append() {
	path, err := os.MkdirTemp("", "log")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(path)
	dir, err := storage.OpenDir(path)
	if err != nil {
		log.Fatal(err) // also storage.ErrLocked: another process uses it
	}
	defer dir.Close()
	ctx := context.Background()
	keys := testlog.NewKeys(testlog.Example{}) // a note signer, a tree signer and their verifiers
	l, err := storage.Open(ctx, posix.New(dir, teststorage.Options(keys).Logger), teststorage.Options(keys))
	if err != nil {
		log.Fatal(err)
	}
	wait, err := l.Append(ctx, []byte("an entry"))
	if err != nil {
		log.Fatal(err)
	}
	index, _, err := wait(ctx) // from here on it survives any crash
	if err != nil {
		log.Fatal(err)
	}
	view, err := l.Await(ctx, index)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("entry", index, "of", view.Checkpoint.Size, "in", view.Checkpoint.Origin, l.Close(ctx))
	// Output: entry 0 of 1 in transparency.example <nil>
}
