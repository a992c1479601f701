package aws_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/go-sql-driver/mysql"
	"k8s.io/klog/v2"

	"github.com/conmotion/conmotion/internal/cloudtest/parts"
)

var tests parts.Tests

func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // Tessera's way to log
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil {
		panic(err) // only without a logger
	}
	os.Exit(tests.Main(m))
}
