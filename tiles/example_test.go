package tiles_test

import (
	"context"
	"fmt"
	"log"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// exampleFiles are the files of a log in memory. A program opens a URL or a
// directory with [tiles.Open].
func exampleFiles() (tiles.Source, *testlog.Keys) {
	t := testlog.Example{}
	files, keys := &testlog.Files{}, testlog.NewKeys(t)
	entries := keys.Begin(t, `{"version": 1}`)
	files.Publish(t, keys, append(entries, testlog.Statement(t, testlog.Key(t, "ES256"), "host-17", []byte("running"))))
	return files, keys
}

// Read all entries of a log, verified against its signed checkpoint.
func ExampleView_Entries() {
	source, keys := exampleFiles()
	verifiers, err := scitt.NewCheckpointVerifiers(keys.VKeys)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	view, err := tiles.NewLog(source, verifiers).Latest(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for entry, err := range view.Entries(ctx, 0, view.Checkpoint.Size) {
		if err != nil {
			log.Fatal(err) // out of reach, or not what the checkpoint commits to
		}
		statement, err := scitt.ParseStatement(entry.Data)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Index, statement.Subject)
	}
	// Output:
	// 0 transparency.example/keys
	// 1 transparency.example/registration-policy
	// 2 host-17
}

// Make the Receipt of an entry from the log's files, without the service.
func ExampleView_Receipt() {
	source, keys := exampleFiles()
	ctx := context.Background()
	view, err := tiles.NewLog(source, keys.Verifiers).Latest(ctx)
	if err != nil {
		log.Fatal(err)
	}
	entry, err := view.Entry(ctx, 2)
	if err != nil {
		log.Fatal(err)
	}
	data, err := view.Receipt(ctx, 2, scitt.LeafHash(entry))
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := scitt.ParseReceipt(data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Issuer, receipt.Verify(keys.Receipt.Public(), entry))
	// Output: https://transparency.example <nil>
}
