package disclosure_test

import (
	"fmt"
	"log"

	"github.com/conmotion/conmotion/monitor/disclosure"
)

// An issuer hides two fields and shows one of them.
func Example() {
	secret := &disclosure.Secret{1} // random, and kept
	hide, err := disclosure.ParsePattern("variables.*")
	if err != nil {
		log.Fatal(err)
	}
	event := []byte(`{"name":"f","variables":{"REGION":"eu","TOKEN":"s3cret"}}`)
	all, err := secret.HideFields("arn:aws:lambda:eu:1:f", event, []disclosure.Pattern{hide})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(all.Payload)) // is signed

	some, err := all.Only("variables.REGION")
	if err != nil {
		log.Fatal(err)
	}
	file, err := some.Marshal() // goes to the auditor
	if err != nil {
		log.Fatal(err)
	}
	got, err := disclosure.Parse(file)
	if err != nil {
		log.Fatal(err)
	}
	opened, err := got.Open()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s = %s, not shown: %s\n", opened.Fields[0].Path, opened.Fields[0].Value, opened.Hidden)
	// Output:
	// {"name":"f","variables":{"REGION":{"...":"y4anwtj55a8HY5GdwNmAXuT9OjovRZl3YDUBKovjDIk"},"TOKEN":{"...":"JnXGXR7C84suIeezIX27gSm9mN12TS2Sk-bh_4hhjzg"}}}
	// $.variables.REGION = "eu", not shown: [$.variables.TOKEN]
}
