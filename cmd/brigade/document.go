package main

import (
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

// documentOf describes a job that stands still, after one run of it.
func documentOf(job *fsm.Job, run runStats, errors []api.KeyError) api.Job {
	d := api.NewJob(job)
	d.Rate = api.Rate{BytesPerSecond: run.bytesPerSecond(), ObjectsPerSecond: run.objectsPerSecond()}
	d.Tasks.Pending, d.Tasks.Running = run.pending, run.running
	if len(errors) > 0 {
		d.Errors = errors
	}
	return d
}

// runStats are what one run did, of a pass that may have taken several.
type runStats struct {
	elapsed          time.Duration
	bytes            int64 // sent to the destination
	objects          int64 // settled
	pending, running int64 // tasks
}

func (r runStats) bytesPerSecond() float64   { return perSecond(r.bytes, r.elapsed) }
func (r runStats) objectsPerSecond() float64 { return perSecond(r.objects, r.elapsed) }

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 || n <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
