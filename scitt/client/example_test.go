package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact"
)

// Register a statement with any SCITT service, and keep it with its Receipt.
func ExampleClient_Register() {
	ctx := context.Background()
	c, err := client.New("https://transparency.example", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		log.Fatal(err)
	}
	statement, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "host-17"}, []byte("running"))
	if err != nil {
		log.Fatal(err)
	}
	registration, err := c.Register(ctx, statement)
	if problem := scitt.ProblemOf(err); problem != nil {
		log.Fatalf("refused: %s: %s", problem.Title, problem.Detail)
	} else if err != nil {
		log.Fatal(err)
	}
	keys, err := c.Keys(ctx) // better: keys that you have from elsewhere
	if err != nil {
		log.Fatal(err)
	}
	parsed, err := scitt.ParseStatement(statement)
	if err != nil {
		log.Fatal(err)
	}
	transparent := scitt.AttachReceipts(parsed, registration.Receipt)
	verified, err := (&scitt.Verifier{LogKeys: keys}).Verify(transparent)
	if err != nil || verified.Err() != nil {
		log.Fatal(err, verified.Err())
	}
	fmt.Println("registered at", registration.Location)
}

// What a service says about itself are static files, so any file server will do.
func ExampleClient_Configuration() {
	t := testlog.Example{}
	files := &testlog.Files{}
	keys := testlog.NewKeys(t)
	files.Publish(t, keys, keys.Begin(t, `{"version": 1}`))
	server := httptest.NewServer(files)
	defer server.Close()

	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	configuration, err := c.Configuration(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	receiptKeys, err := c.Keys(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(configuration.Issuer, "signs receipts with", len(receiptKeys), "key")
	// Output: https://transparency.example signs receipts with 1 key
}

// Artifacts stores the content behind hash envelopes and fetches it again.
func ExampleArtifacts() {
	service, stop := exampleStorage()
	defer stop()

	ctx := context.Background()
	artifacts, err := client.NewArtifacts(service, "", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	content := []byte("an inventory of 4 GB, in reality")
	digest := sha256.Sum256(content)
	created, err := artifacts.Put(ctx, digest, bytes.NewReader(content), int64(len(content)))
	if err != nil {
		log.Fatal(err)
	}
	download, err := artifacts.Get(ctx, digest, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer download.Close()
	fetched, err := io.ReadAll(download)
	if err != nil {
		log.Fatal(err)
	}
	// The client verifies nothing: whoever gets an artifact hashes it.
	fmt.Println(created, sha256.Sum256(fetched) == digest)
	// Output: true true
}

// exampleStorage starts an artifact storage and returns its URL.
func exampleStorage() (url string, stop func()) {
	root, err := os.MkdirTemp("", "artifacts")
	if err != nil {
		log.Fatal(err)
	}
	dir, err := artifact.OpenDir(root, artifact.Options{})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := artifact.NewHandler(artifact.Config{Store: dir, Write: artifact.Everybody(), Read: artifact.Everybody(), Problem: func(w http.ResponseWriter, _ *http.Request, status int, title, _ string) {
		http.Error(w, title, status)
	}})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	return server.URL, func() {
		server.Close()
		dir.Close()
		os.RemoveAll(root)
	}
}
