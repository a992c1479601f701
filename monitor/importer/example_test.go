package importer_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/conmotion/conmotion/monitor/importer"
)

// Turn an export of Google Cloud Asset Inventory into OCSF events.
func ExampleGCPAssets() {
	export, err := os.Open("testdata/gcp-feed.jsonl")
	if err != nil {
		log.Fatal(err)
	}
	defer export.Close()
	counts := map[string]int{}
	for item, err := range importer.GCPAssets(export, importer.Options{}) {
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
