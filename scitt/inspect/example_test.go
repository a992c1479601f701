package inspect_test

import (
	"fmt"

	"github.com/conmotion/conmotion/scitt/inspect"
)

func ExampleBytes() {
	for _, o := range inspect.Bytes([]byte("\xa2\x20\x68Rejected\x21\x67no such")) {
		fmt.Println(o)
	}
	// Output:
	// # Concise Problem Details
	// {
	//   / title / -1: "Rejected",
	//   / detail / -2: "no such"
	// }
}
