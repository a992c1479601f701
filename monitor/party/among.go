package party

import (
	"fmt"
	"sync"
)

// Among are logs that are read together, such as by one command. They are told
// apart by their origins, so that two of them cannot have one. The zero value has
// none. It is safe for concurrent use.
type Among struct {
	mu   sync.Mutex
	logs map[string]*Log // by origin
}

// add notes a log that was opened. The error wraps ErrKeysChanged when another one
// has its origin, with another note key, and it is not this one's from before a
// change that the log announced.
func (a *Among) add(l *Log) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	origin := l.Checkpoint.Origin
	if o := a.logs[origin]; o != nil && o.Key() != l.Key() && l.rotated == nil {
		return fmt.Errorf("%w: those at %s and %s both call themselves %q, with different keys", ErrKeysChanged, o.Location, l.Location, origin)
	}
	if a.logs == nil {
		a.logs = map[string]*Log{}
	}
	a.logs[origin] = l
	return nil
}
