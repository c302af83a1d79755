package notify

import (
	"time"
)

// Notice is one thing that happened. Its texts are shown to people as they are: they hold no secrets, and whatever else they
// hold is escaped where it is shown.
type Notice struct {
	ID     uint64 // unique in its cluster; 0 of a notice that no cluster recorded
	Kind   Kind
	At     time.Time
	Node   string // the node that it is about; "" for none
	Reason string // one line: why, in the words of what failed
	Job    *Job   // nil if it is about no job
}

// Job is what a message shows of a job.
type Job struct {
	ID          string
	Type        string // copy, verify, list
	Source      string // URLs, without secrets
	Destination string
	State       string
	Pass        uint64
	Started     time.Time
	Ended       time.Time // zero while it runs
	Objects     Counts
	BytesFound  int64
	BytesCopied int64
	Failures    []Failures
	Rates       []Rate // oldest first, evenly spaced; fewer than two draw no chart
}

// Counts are the outcomes of a job's objects.
type Counts struct{ Listed, Found, Copied, Skipped, Filtered, Vanished, Changed, Failed, Verified int64 }

// Failures are the failed objects of one class.
type Failures struct {
	Class string
	Count int64
	Key   string // of one of them
	Cause string // and why it failed
}

// Rate is how fast a job went at a time.
type Rate struct {
	At               time.Time
	BytesPerSecond   float64
	ObjectsPerSecond float64
}

// Cluster is who tells.
type Cluster struct {
	Name  string // in subjects and Message-IDs
	Nodes int    // members
	// Dashboard is the URL of a page that shows more; "" for none.
	Dashboard string
}
