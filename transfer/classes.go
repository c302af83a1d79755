package transfer

import "sync"

// classes are the storage classes that the destination of a job refused. It is safe for concurrent use.
type classes struct {
	mu  sync.Mutex
	not map[string]bool
}

func (c *classes) refused(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.not[name]
}

// refuse notes a class and tells that a write goes on without it.
func (c *classes) refuse(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.not == nil {
		c.not = map[string]bool{}
	}
	c.not[name] = true
	return true
}
