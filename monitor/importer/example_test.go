package importer_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/conmotion/conmotion/monitor/importer"
)

// Turn an export of Google Cloud Asset Inventory into OCSF events.
func ExampleFormats() {
	export, err := os.Open("testdata/gcp-feed.jsonl")
	if err != nil {
		log.Fatal(err)
	}
	defer export.Close()
	formats := importer.Formats()
	gcp := formats[slices.IndexFunc(formats, func(f importer.Format) bool { return f.Name == "gcp-cai" })]
	counts := map[string]int{}
	for item, err := range gcp.Read(export, importer.Options{}) {
		var problem *importer.Problem
		if errors.As(err, &problem) {
			continue // this item cannot be mapped; the next one can
		} else if err != nil {
			log.Fatal(err)
		}
		counts[item.Kind+" "+item.Action]++ // item.Event is the JSON to sign
	}
	fmt.Println(counts)
	// Output: map[configuration create:4 configuration delete:4 configuration modify:4 inventory create:3 inventory delete:3 inventory modify:3]
}
