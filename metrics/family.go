package metrics

import "github.com/prometheus/client_golang/prometheus"

// Type is what Prometheus calls the type of a metric.
type Type string

// The types.
const (
	Gauge     Type = "gauge"
	Counter   Type = "counter"
	Histogram Type = "histogram"
)

// Family describes the metrics of one name.
type Family struct {
	Name   string
	Type   Type
	Labels []string
	Help   string
}

// What each family means stands in its help text and in docs/metrics.md, which a test holds against this list.
var (
	buildInfo = Family{"brigade_build_info", Gauge, []string{"version", "goversion"}, "1; the labels say what runs."}

	jobs          = Family{"brigade_jobs", Gauge, []string{"state"}, "Jobs of the cluster by state."}
	jobState      = Family{"brigade_job_state", Gauge, []string{"job_id", "state"}, "1 for the state that a job is in."}
	jobStarted    = Family{"brigade_job_start_timestamp_seconds", Gauge, []string{"job_id"}, "When the current pass of a job began."}
	jobFinished   = Family{"brigade_job_end_timestamp_seconds", Gauge, []string{"job_id"}, "When the current pass of a job ended."}
	jobObjects    = Family{"brigade_job_objects_total", Counter, []string{"job_id", "outcome"}, "Objects settled in the current pass of a job, by outcome."}
	jobListed     = Family{"brigade_job_listed_objects_total", Counter, []string{"job_id"}, "Source objects listed in the current pass of a job."}
	jobVerified   = Family{"brigade_job_verified_objects_total", Counter, []string{"job_id"}, "Objects verified in the current pass of a job."}
	jobBytes      = Family{"brigade_job_bytes_total", Counter, []string{"job_id", "outcome"}, "Bytes of objects settled in the current pass of a job: copied, or skipped since they were there."}
	jobMoved      = Family{"brigade_job_sent_bytes_total", Counter, []string{"job_id"}, "Bytes sent to the destination in the current pass of a job, failed attempts included."}
	jobListedSize = Family{"brigade_job_listed_bytes_total", Counter, []string{"job_id"}, "Bytes of source objects listed in the current pass of a job."}
	jobFailures   = Family{"brigade_job_failures_total", Counter, []string{"job_id", "class"}, "Objects that failed in the current pass of a job, by class of error."}
	jobByteRate   = Family{"brigade_job_sent_bytes_per_second", Gauge, []string{"job_id"}, "Bytes a second sent to the destination of a running job, of the last seconds. From the leader only."}
	jobObjectRate = Family{"brigade_job_settled_objects_per_second", Gauge, []string{"job_id"}, "Objects a second settled of a running job, of the last seconds. From the leader only."}
	jobLeft       = Family{"brigade_job_remaining_seconds", Gauge, []string{"job_id"}, "Seconds that a running job is going to take, where that can be told. From the leader only."}
	otherJobs     = Family{"brigade_other_jobs", Gauge, nil, "Jobs without metrics of their own: finished long ago, or too many."}
	otherObjects  = Family{"brigade_other_jobs_objects", Gauge, []string{"outcome"}, "Objects settled of the jobs without metrics of their own."}
	otherBytes    = Family{"brigade_other_jobs_bytes", Gauge, []string{"outcome"}, "Bytes of the objects settled of the jobs without metrics of their own."}

	tasks  = Family{"brigade_tasks", Gauge, []string{"kind", "state"}, "Outstanding tasks of the cluster."}
	leases = Family{"brigade_leases", Gauge, []string{"node"}, "Tasks that a node holds."}

	noticesWaiting = Family{"brigade_notices_waiting", Gauge, []string{"kind"}, "Notices in the outbox, not told to all of their receivers."}
	noticesOldest  = Family{"brigade_notices_oldest_timestamp_seconds", Gauge, nil, "When the oldest notice in the outbox was put there; absent while the outbox is empty."}
	noticesDropped = Family{"brigade_notices_dropped_total", Counter, nil, "Notices dropped since too many waited."}
	deliveries     = Family{"brigade_notice_deliveries_total", Counter, []string{"receiver", "outcome"}, "Messages that this node sent as leader, by kind of receiver: told, failed and to be tried again, refused for good."}

	requestTime  = Family{"brigade_store_request_duration_seconds", Histogram, []string{"endpoint", "operation"}, "How long requests to stores take; a get until its content begins."}
	requests     = Family{"brigade_store_requests_total", Counter, []string{"endpoint", "operation", "outcome"}, "Requests to stores, by class of error; ok where there was none."}
	retries      = Family{"brigade_store_retries_total", Counter, []string{"class"}, "Attempts after a failure, by the class of error that it was."}
	bytesRead    = Family{"brigade_store_read_bytes_total", Counter, []string{"endpoint"}, "Bytes of content read, failed attempts included."}
	bytesWritten = Family{"brigade_store_written_bytes_total", Counter, []string{"endpoint"}, "Bytes of content written, failed attempts included."}

	memory     = Family{"brigade_memory_budget_bytes", Gauge, nil, "Bytes that all buffers may hold together."}
	memoryUsed = Family{"brigade_memory_used_bytes", Gauge, nil, "Bytes of the budget that buffers hold."}
	slots      = Family{"brigade_slots", Gauge, nil, "Objects and parts in flight at most."}
	slotsUsed  = Family{"brigade_slots_used", Gauge, nil, "Objects and parts in flight."}

	raftTerm       = Family{"brigade_raft_term", Gauge, nil, "Election term."}
	raftLeads      = Family{"brigade_raft_is_leader", Gauge, nil, "1 where this node leads."}
	raftHasLeader  = Family{"brigade_raft_has_leader", Gauge, nil, "1 where this node knows a leader."}
	raftLast       = Family{"brigade_raft_last_index", Gauge, nil, "Index of the last entry of the log."}
	raftCommitted  = Family{"brigade_raft_commit_index", Gauge, nil, "Index of the last entry that is known to be committed."}
	raftApplied    = Family{"brigade_raft_applied_index", Gauge, nil, "Index of the last entry that is in the state."}
	raftSnapshot   = Family{"brigade_raft_snapshot_index", Gauge, nil, "Index that the last snapshot is of."}
	raftContact    = Family{"brigade_raft_leader_contact_seconds", Gauge, nil, "Seconds since the leader was last heard of, 0 for the leader; absent where it never was."}
	raftVoters     = Family{"brigade_raft_voters", Gauge, nil, "Members that vote."}
	commitTime     = Family{"brigade_raft_commit_duration_seconds", Histogram, nil, "How long entries that this node proposed take to be applied here."}
	commitFailures = Family{"brigade_raft_commit_failures_total", Counter, nil, "Entries that this node proposed, and that failed or whose outcome is unknown."}

	members   = Family{"brigade_members", Gauge, []string{"state"}, "Nodes as this one sees them."}
	peerTime  = Family{"brigade_peer_request_duration_seconds", Histogram, []string{"call"}, "How long calls to other nodes take until the answer begins; some wait for news on purpose."}
	peerCalls = Family{"brigade_peer_requests_total", Counter, []string{"call", "outcome"}, "Calls to other nodes: ok, refused by the node, or error where there was no answer."}

	spoolSegments = Family{"brigade_spool_segments", Gauge, nil, "Segments that this node keeps."}
	spoolBytes    = Family{"brigade_spool_bytes", Gauge, nil, "Bytes of the segments that this node keeps."}
	spoolSingles  = Family{"brigade_spool_single_copies", Gauge, nil, "Segments that this node stored since its start and that lack their second copy."}
	diskFree      = Family{"brigade_disk_free_bytes", Gauge, nil, "Bytes free on the disk of the data directory."}
	diskSize      = Family{"brigade_disk_size_bytes", Gauge, nil, "Bytes of the disk of the data directory."}
	diskLow       = Family{"brigade_disk_low", Gauge, nil, "1 where the disk of the data directory is so full that the node gives its work back."}
)

// Families lists all metrics of Brigade's own. Those of the process and of Go's runtime come on top.
func Families() []Family {
	return []Family{
		buildInfo,
		jobs, jobState, jobStarted, jobFinished, jobObjects, jobListed, jobVerified, jobBytes, jobMoved, jobListedSize, jobFailures,
		jobByteRate, jobObjectRate, jobLeft, otherJobs, otherObjects, otherBytes, tasks, leases,
		noticesWaiting, noticesOldest, noticesDropped, deliveries,
		requestTime, requests, retries, bytesRead, bytesWritten, memory, memoryUsed, slots, slotsUsed,
		raftTerm, raftLeads, raftHasLeader, raftLast, raftCommitted, raftApplied, raftSnapshot, raftContact, raftVoters,
		commitTime, commitFailures, members, peerTime, peerCalls,
		spoolSegments, spoolBytes, spoolSingles, diskFree, diskSize, diskLow,
	}
}

func (f *Family) desc() *prometheus.Desc { return prometheus.NewDesc(f.Name, f.Help, f.Labels, nil) }

func (f *Family) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

func (f *Family) histogram(buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.Name, Help: f.Help, Buckets: buckets}, f.Labels)
}
