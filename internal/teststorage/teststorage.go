// Package teststorage opens logs for tests. It is not in testlog, whose users need no storage.
package teststorage

import (
	"log/slog"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
)

// Options are those of a log with these keys that answers quickly.
func Options(k *testlog.Keys) storage.Options {
	return storage.Options{
		Keys:        storage.Keys{Signer: k.Note, Tree: k.Tree, Verifiers: k.Verifiers},
		BatchMaxAge: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
}
