package artifact

import "sync"

// quota counts bytes against a limit; 0 limits nothing.
type quota struct {
	mu          sync.Mutex
	limit, used int64
}

func (q *quota) fits(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limit == 0 || n <= q.limit-q.used
}

// take reserves n bytes, if they fit.
func (q *quota) take(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.limit > 0 && n > q.limit-q.used {
		return false
	}
	q.used += n
	return true
}

func (q *quota) give(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
}

func (q *quota) inUse() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used
}
