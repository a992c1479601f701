package serving

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRatedLog: of many warnings that are alike a few are logged, others all are.
func TestRatedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(newRated(slog.NewTextHandler(&out, nil))).With("a", "b")
		count := func(part string) int { return strings.Count(out.String(), part) }
		for range 1000 {
			log.Warn("refused")
			log.Info("served")
		}
		log.Error("refused")
		log.Warn("another")
		if count("level=WARN msg=refused a=b") != sameMessages || count("served") != 1000 || count("level=ERROR msg=refused") != 1 || count("another") != 1 || count("left_out") != 0 {
			t.Errorf("%d warnings, %d notices:\n%.500s", count("level=WARN msg=refused"), count("served"), &out)
		}
		out.Reset()
		time.Sleep(rateWindow)
		log.Warn("refused")
		log.Warn("refused")
		if want := fmt.Sprintf("like_it_left_out=%d", 1000-sameMessages); count("refused") != 2 || count(want) != 1 {
			t.Errorf("later: %s", &out)
		}
		out.Reset()
		for i := range 10 * differentMessages {
			log.Warn(fmt.Sprint("message ", i))
		}
		if count("message") != 10*differentMessages {
			t.Errorf("%d of %d different messages", count("message"), 10*differentMessages)
		}
	})
}
