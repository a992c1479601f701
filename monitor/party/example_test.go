package party_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
)

// Open somebody's log, and hold it to what was seen of it before.
func ExampleOpen() {
	t := testlog.Example{}
	files, keys := &testlog.Files{}, testlog.NewKeys(t)
	entries := keys.Begin(t, `{"version": 1}`)
	files.Publish(t, keys, entries)
	server := httptest.NewServer(files)
	defer server.Close()

	home, err := os.MkdirTemp("", "home") // a program has party.DefaultHome
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(home)
	options := party.Options{Home: party.Home(home), VKeys: keys.VKeys}
	for range 2 {
		l, err := party.Open(context.Background(), server.URL, options)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.View.Checkpoint.Size, "entries; seen before:", l.Previous != nil)
	}

	// The operator shows another history.
	entries[1] = testlog.Statement(t, testlog.Key(t, "ES256"), "host-17", nil)
	files.Publish(t, keys, entries)
	_, err = party.Open(context.Background(), server.URL, options)
	fmt.Println("forked:", errors.Is(err, party.ErrForked))
	// Output:
	// 2 entries; seen before: false
	// 2 entries; seen before: true
	// forked: true
}
