package artifact

import (
	"fmt"
	"sync"
)

// crowd is from how many uploads at a time on they are made durable together:
// each alone costs three waits for the disk, all of them two.
const crowd = 8

// smallUpload is up to how many bytes an upload is made durable with others; a
// larger one is not to keep them waiting.
const smallUpload = 1 << 20

// group makes the writes of many uploads durable at a time, by one sync of
// their file system. While it runs, those that come gather for the next one.
type group struct {
	all func() error // syncs the file system; nil where there is no such call

	mu      sync.Mutex
	busy    int // uploads in progress
	waiting []chan error
	running bool
}

// enter and leave count an upload in progress.
func (g *group) enter() { g.count(1) }
func (g *group) leave() { g.count(-1) }

func (g *group) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy += n
}

// sync makes what the caller has written durable: by alone, or for many.
func (g *group) sync(size int64, alone func() error) error {
	g.mu.Lock()
	if g.all == nil || g.busy < crowd || size > smallUpload {
		g.mu.Unlock()
		return alone()
	}
	done := make(chan error, 1)
	g.waiting = append(g.waiting, done)
	if !g.running {
		g.running = true
		go g.run()
	}
	g.mu.Unlock()
	return <-done
}

// run syncs until nobody waits. Whoever waits has written before it begins.
func (g *group) run() {
	for {
		g.mu.Lock()
		waiting := g.waiting
		g.waiting, g.running = nil, len(waiting) > 0
		g.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		err := g.all()
		for _, done := range waiting {
			done <- err
		}
	}
}

// atLeast reports whether a kernel's release, such as 6.1.0-13-amd64, is this or newer.
func atLeast(release string, major, minor int) bool {
	var x, y int
	_, err := fmt.Sscanf(release, "%d.%d", &x, &y)
	return err == nil && (x > major || x == major && y >= minor)
}
