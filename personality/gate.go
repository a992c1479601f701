package personality

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// gate lets statements in to what costs processor time, and refuses them when
// they would wait too long for it. That is known before anything is done for
// them: from how many wait already, how many a second get through while others
// wait, how long requests wait for a processor, and how long storing takes. So under overload the time goes to those that
// get their Receipts.
type gate struct {
	longest time.Duration        // that a statement may be expected to wait; 0 for no limit
	behind  func() time.Duration // how long a statement waits elsewhere: for a processor, and to be stored
	busy    error                // the refusal
	judges  chan struct{}        // has an element for each request whose statements are judged now, one a core

	mu      sync.Mutex
	waiting int       // statements that wait to be judged
	left    time.Time // when the last one left, if others waited then
	// through is how many statements left in so many seconds in which others
	// waited; what is longer ago counts less.
	through, seconds float64
}

const (
	// likelyRate per core counts until it is measured.
	likelyRate = 4000
	// memory of what is measured is longer than the time between two checkpoints,
	// after each of which many Receipts are made at once.
	memory = 250 * time.Millisecond
)

func newGate(longest time.Duration, behind func() time.Duration) *gate {
	cores := runtime.GOMAXPROCS(0)
	return &gate{longest: longest, behind: behind, judges: make(chan struct{}, cores),
		busy:    fmt.Errorf("%w: more statements come than can be registered, and this one would wait longer than %v", scitt.ErrBusy, longest),
		through: likelyRate * float64(cores) * memory.Seconds(), seconds: memory.Seconds()}
}

// refusal says that a statement would wait too long; nil when it may come in.
func (g *gate) refusal() error {
	if g.longest == 0 {
		return nil
	}
	g.mu.Lock()
	judged := float64(g.waiting) * g.seconds / g.through
	g.mu.Unlock()
	if judged+g.behind().Seconds() > g.longest.Seconds() {
		return g.busy
	}
	return nil
}

// turn is that of a request, in which its statements are judged.
type turn struct {
	*gate
	statements int
}

// enter waits for the turn of a request with n statements, or refuses it.
func (g *gate) enter(n int) (*turn, error) {
	if err := g.refusal(); err != nil {
		return nil, err
	}
	t := &turn{g, n}
	t.resume()
	return t, nil
}

// wait counts statements that wait.
func (g *gate) wait(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting += n
}

// pause gives the turn to others while the request waits for something, and
// resume takes it back.
func (t *turn) pause() { <-t.judges }

func (t *turn) resume() {
	t.wait(t.statements)
	t.judges <- struct{}{}
	t.wait(-t.statements)
}

// leave ends the turn.
func (t *turn) leave() {
	t.mu.Lock()
	now := time.Now()
	if !t.left.IsZero() {
		took := now.Sub(t.left)
		kept := math.Exp(-took.Seconds() / memory.Seconds())
		t.through = kept*t.through + float64(t.statements)
		t.seconds = kept*t.seconds + took.Seconds()
	}
	if t.left = now; t.waiting == 0 {
		t.left = time.Time{}
	}
	t.mu.Unlock()
	t.pause()
}
