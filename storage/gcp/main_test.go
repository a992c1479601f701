package gcp_test

import (
	"io"
	"log"
	"log/slog"
	"os"
	"testing"

	"k8s.io/klog/v2"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
)

var tests parts.Tests

func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // Tessera's way to log
	log.SetOutput(io.Discard)                         // and that of its Spanner client
	os.Exit(tests.Main(m))
}
