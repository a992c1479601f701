package drivertest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// OpenLog opens a log that is new.
func OpenLog(ctx context.Context, d *cloud.Driver) error {
	_, err := d.Open(ctx, &scitt.Checkpoint{Origin: "log.example"})
	return err
}

// ReadTile reads the first tile of a log.
func ReadTile(ctx context.Context, d *cloud.Driver) error {
	_, err := d.Get(ctx, "tile/0/000")
	return err
}

// Says holds an error to what it is, where that is not nil, and to the texts that are in it.
func Says(t *testing.T, what string, err, is error, texts []string) {
	t.Helper()
	if err == nil || is != nil && !errors.Is(err, is) {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v does not say %s", what, err, text)
		}
	}
}
