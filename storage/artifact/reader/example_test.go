package reader_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// What a statement signs only the hash of is fetched, and hashed. Other bytes
// are an error, whatever the storage says of them.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "the content")
	}))
	defer server.Close()
	artifacts, err := reader.Open(server.URL, reader.Options{Client: client.Options{HTTP: server.Client()}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, limit := context.Background(), int64(1<<20)
	content, err := artifacts.Artifact(ctx, sha256.Sum256([]byte("the content")), limit)
	fmt.Printf("%s %v\n", content, err)
	_, err = artifacts.Artifact(ctx, sha256.Sum256([]byte("what was signed")), limit)
	fmt.Println(errors.Is(err, reader.ErrWrong))
	// Output:
	// the content <nil>
	// true
}
