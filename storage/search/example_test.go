package search_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver that Open needs

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage/search"
	"github.com/conmotion/conmotion/tiles"
)

// Index any log from its files, ask, and check the answer against the log.
func ExampleIndex_Search() {
	dir, err := os.MkdirTemp("", "search")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	x, err := search.Open(ctx, filepath.Join(dir, "search.db"), search.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()

	view := exampleView()
	if err := x.CatchUp(ctx, view.Checkpoint, view); err != nil {
		log.Fatal(err) // also search.ErrOtherLog: the entries are not the checkpoint's
	}
	query, err := search.ParseQuery(url.Values{"sub": {"host-17"}, "order": {"desc"}})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := x.Search(ctx, query)
	if err != nil {
		log.Fatal(err)
	}
	for _, hit := range answer.Entries {
		fmt.Println(hit.Index, hit.Subject, "of", answer.Checkpoint.Size)
	}
	fmt.Println(search.VerifyHits(ctx, view, query, answer, nil, nil))
	// Output:
	// 4 host-17 of 5
	// 2 host-17 of 5
	// <nil>
}

// exampleView is a log of five entries at its newest checkpoint.
func exampleView() *tiles.View {
	t := testlog.Example{}
	files, keys, issuer := &testlog.Files{}, testlog.NewKeys(t), testlog.Key(t, "ES256")
	entries := keys.Begin(t, `{"version": 1}`)
	for i, subject := range []string{"host-17", "host-18", "host-17"} {
		entries = append(entries, testlog.Statement(t, issuer, subject, fmt.Append(nil, i)))
	}
	files.Publish(t, keys, entries)
	view, err := tiles.NewLog(files, keys.Verifiers).Latest(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return view
}
