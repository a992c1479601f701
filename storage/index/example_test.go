package index_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/index"
)

// The index finds an entry of a log by its id.
func ExampleIndex_Lookup() {
	dir, err := os.MkdirTemp("", "index")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	x, err := index.Open(ctx, filepath.Join(dir, "index.db"), nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()

	t, entries := testlog.Example{}, &memory{} // a running log; storage.Log gives the index its entries
	statement, err := scitt.ParseStatement(testlog.Statement(t, testlog.Key(t, "ES256"), "host-17", []byte("running")))
	if err != nil {
		log.Fatal(err)
	}
	entries.add([]byte("the first entry"), statement.Entry())
	if err := x.CatchUp(ctx, entries); err != nil {
		log.Fatal(err)
	}
	place, found, err := x.Lookup(ctx, statement.ID())
	fmt.Println(place.Index, found, err)
	// Output: 1 true <nil>
}
