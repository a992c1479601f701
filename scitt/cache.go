package scitt

import "sync"

// cache keeps recently used values in bounded memory. It has two generations:
// when the young one is full, the old one is forgotten. What it holds is a
// pure function of the key, so that a hit and a miss give the same answer.
type cache[K comparable, V any] struct {
	size       int // of a generation
	mu         sync.RWMutex
	young, old map[K]V
}

func (c *cache[K, V]) get(key K) (V, bool) {
	c.mu.RLock()
	v, ok := c.young[key]
	if ok {
		c.mu.RUnlock()
		return v, true
	}
	v, ok = c.old[key]
	c.mu.RUnlock()
	if ok {
		c.put(key, v)
	}
	return v, ok
}

func (c *cache[K, V]) put(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= c.size {
		c.young, c.old = make(map[K]V), c.young
	}
	c.young[key] = v
}
