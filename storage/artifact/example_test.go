package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/conmotion/conmotion/storage/artifact"
)

// A directory stores content under the digest that a statement signs.
func ExampleOpenDir() {
	root, err := os.MkdirTemp("", "artifacts")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	dir, err := artifact.OpenDir(root, artifact.Options{MaxSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()

	ctx := context.Background()
	info, created, err := dir.Put(ctx, strings.NewReader("an inventory"), artifact.Want{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(created, info.Size, info.Digest)
	content, _, err := dir.Open(ctx, info.Digest) // never returns damaged bytes
	if err != nil {
		log.Fatal(err)
	}
	defer content.Close()
	data, err := io.ReadAll(content)
	fmt.Printf("%s %v\n", data, err)
	_, _, err = dir.Open(ctx, artifact.Digest{})
	fmt.Println(errors.Is(err, artifact.ErrNotFound))
	// Output:
	// true 12 0be414c62cfb50ff37c0368a428682bb54fb1897f75efb1fbcffc428cc0ab846
	// an inventory <nil>
	// true
}
