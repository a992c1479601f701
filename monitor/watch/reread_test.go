package watch

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/tiles"
)

// TestReread: an old bundle or tile that changes or goes is told within the turn,
// across restarts, and again when it is right; what is right is told nothing of,
// and each bundle is asked for once in a turn.
func TestReread(t *testing.T) {
	const config = "logs: [{name: log, location: http://log.example, reread: 2h}]\n"
	flip := func(data []byte) []byte { data[len(data)-1] ^= 1; return data }
	gone := func([]byte) []byte { return nil }
	for _, c := range []struct {
		path   string
		change func([]byte) []byte
		want   string
	}{
		{tiles.BundlePath(0, 0), flip, "entries 0 to 255: "}, {tiles.BundlePath(2, 0), flip, "entries 512 to 767: "},
		{tiles.BundlePath(3, 0), gone, "not exist"}, {tiles.TilePath(0, 1, 0), flip, "does not hash to its leaf"},
		{tiles.TilePath(0, 4, 0), gone, "entries 1024 to 1279"}, {tiles.BundlePath(5, 0), nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.log("log.example")
			s.fill(6*tiles.Width - 2)
			w.once(config)
			good := testlog.Must(s.files.Get(t.Context(), c.path))(t)
			if c.change != nil {
				s.files.Put(c.path, c.change([]byte(string(good))))
			}
			asked := map[string]int{}
			s.files.Serve(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/tile/entries/") {
					asked[r.URL.Path]++
				}
				return false
			})
			var told []*Alert
			for range 24 {
				time.Sleep(5 * time.Minute)
				watcher := w.watch(config)
				watcher.Once(t.Context())
				watcher.Close()
				told = append(told, w.lines...)
				w.lines = nil
			}
			if c.change == nil {
				if len(told) > 0 || len(asked) != 6 {
					t.Errorf("told %+v, asked for %v", told, asked)
				}
				for path, n := range asked {
					if n > 1 && path != "/tile/entries/000" { // which every look reads, for the keys
						t.Errorf("%s was read %d times", path, n)
					}
				}
				return
			}
			if len(told) != 1 || told[0].Check != checkHistory || told[0].Status != fired || told[0].Severity != monitor.Critical || !strings.Contains(told[0].Message, c.want) {
				t.Fatalf("%s: told %+v", c.path, told)
			}
			s.files.Put(c.path, good)
			w.once(config, "log history resolved")
		})
	}
}
