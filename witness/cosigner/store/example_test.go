package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
)

// ExampleOpen remembers a checkpoint, by compare and set.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "witness")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(ctx, filepath.Join(dir, "witness.db"), filepath.Join(dir, "guard"), true)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	root := sha256.Sum256(nil)
	next := cosigner.State{Size: 7, Root: root[:], At: 1, Text: []byte("text\n"), LogLines: []byte("log\n"), Lines: []byte("witness\n")}
	fmt.Println(s.Swap(ctx, "log.example", cosigner.State{}, next))
	fmt.Println("again:", errors.Is(s.Swap(ctx, "log.example", cosigner.State{}, next), cosigner.ErrChanged))
	stored, err := s.Load(ctx, "log.example")
	fmt.Printf("size %d, %q, %v\n", stored.Size, stored.Note(), err)
	// Output:
	// <nil>
	// again: true
	// size 7, "text\n\nlog\nwitness\n", <nil>
}
