//go:generate go run .

// Generate writes the test vectors of the permanent formats (docs/formats.md)
// into the working directory.
package main

import (
	"log"
	"os"

	"github.com/conmotion/conmotion/internal/vectors"
)

func main() {
	files, err := vectors.Files()
	if err != nil {
		log.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
