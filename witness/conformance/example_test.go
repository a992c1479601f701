package conformance_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/conformance"
)

// ExampleRun checks a server that is not a witness.
func ExampleRun() {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	skey, _, err := scitt.GenerateCosignerKeys("witness.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := scitt.ParseCosignerKey(skey)
	if err != nil {
		fmt.Println(err)
		return
	}
	var logs []*conformance.Log
	for i := range conformance.LogsNeeded {
		l, err := conformance.NewLog(fmt.Sprintf("check%d.example", i), []byte("secret"))
		if err != nil {
			fmt.Println(err)
			return
		}
		logs = append(logs, l)
	}
	results, err := conformance.Run(context.Background(), conformance.Target{
		Submission: server.URL, Monitoring: server.URL, HTTP: server.Client(), Keys: []*scitt.CosignatureVerifier{&key.CosignatureVerifier},
	}, logs)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(results[0].Check, results[0].Level)
	fmt.Println(results[0].Deviates)
	// Output:
	// cosign MUST
	// a good request: 404 "404 page not found\n", want 200
}
