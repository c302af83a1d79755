package transfer

import "sync/atomic"

// Traffic counts what one job moves on this node, live as Meter does: attempts that fail count too, nothing is ever taken back.
type Traffic struct {
	BytesRead    atomic.Int64 // from the source
	BytesWritten atomic.Int64 // to the destination
	ReadBack     atomic.Int64 // bytes read from the destination
	Objects      atomic.Int64 // settled, whatever became of them
}

// The methods do nothing for a job that nobody counts.

func (t *Traffic) read(n int) {
	if t != nil {
		t.BytesRead.Add(int64(n))
	}
}

func (t *Traffic) wrote(n int) {
	if t != nil {
		t.BytesWritten.Add(int64(n))
	}
}

func (t *Traffic) readBack(n int) {
	if t != nil {
		t.ReadBack.Add(int64(n))
	}
}

func (t *Traffic) settled(c Counts) {
	if n := c.Copied + c.Skipped + c.Filtered + c.Vanished + c.Changed + c.Failed; t != nil && n > 0 {
		t.Objects.Add(n)
	}
}
