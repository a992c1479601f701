package posix_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/tiles"
)

// The files that a driver puts are those that any file server shows.
func ExampleNew() {
	path, err := os.MkdirTemp("", "log")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(path)
	dir, err := storage.OpenDir(path)
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()
	driver := posix.New(dir, slog.Default())
	if err := driver.Put(context.Background(), tiles.KeysPath, []byte("a key set")); err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(dir.Public(".well-known", "scitt-keys"))
	fmt.Println(string(data), err)
	// Output: a key set <nil>
}
