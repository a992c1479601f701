package keeper_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
	"github.com/conmotion/conmotion/witness/keeper"
)

// A witness with a mirror beside it.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "witness")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, own := exampleWitness(dir, "witness.example"), exampleWitness(dir, "witness.example/mirror")
	nobodySaysWhere := func(*cosigner.Log) (tiles.Source, *reader.Reader, error) { return nil, nil, nil }
	m := keeper.NewMirror(ctx, w, own, filepath.Join(dir, "kept"), nobodySaysWhere, slog.Default())
	h, err := cosigner.NewHandler(w, noop.Meter{}, m)
	if err != nil {
		log.Fatal(err)
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest("POST", "/add-entries", nil))
	fmt.Println(answer.Code)
	cancel()
	fmt.Println(m.Close())
	// Output:
	// 400
	// <nil>
}

func exampleWitness(dir, name string) *cosigner.Witness {
	ed, _, err := scitt.GenerateCosignerKeys(name)
	if err != nil {
		log.Fatal(err)
	}
	key, err := scitt.ParseCosignerKey(ed)
	if err != nil {
		log.Fatal(err)
	}
	base := filepath.Join(dir, filepath.Base(name))
	db, err := store.Open(context.Background(), base+".db", base+".guard", true)
	if err != nil {
		log.Fatal(err)
	}
	w, err := cosigner.New([]*scitt.Cosigner{key}, db, time.Now, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	return w
}
