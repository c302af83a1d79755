package api

import (
	"net/http"

	"github.com/bucketbrigade/brigade/fsm"
)

// Paths that need no token.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// metricsPath needs one unless Config.MetricsOpen is set.
const metricsPath = "/metrics"

const (
	absent   = http.StatusNotFound
	conflict = http.StatusConflict
	unready  = http.StatusServiceUnavailable
	outdate  = http.StatusPreconditionFailed
	unnamed  = http.StatusPreconditionRequired
)

// routes are all endpoints. Each says where it is answered, who may use it, and what it is.
func (s *Server) routes() []route {
	routes := []route{
		{"GET " + healthPath, here, anyone, s.health, about("health", "Whether the process answers").gives(Health{})},
		{"GET " + readyPath, here, anyone, s.ready, about("ready", "Whether the node can do what it is asked: it knows a leader, and has caught up with it since it started").
			gives(Health{}).fails(unready)},
		{"GET " + metricsPath, here, s.metricsRole(), s.showMetrics, about("metrics", "What the node counts and measures, as Prometheus reads it").
			gives(Exposition("")).fails(absent)},
		{"GET /openapi.json", here, fsm.Viewer, s.showDocument, about("openAPI", "This document").gives(Document{})},
		{"GET /v1/events", here, fsm.Viewer, s.follow, about("followEvents", "Changes of jobs, nodes and leader as server-sent events: reset, job, node, leader").
			with(resumeHeader, "header", "integer", "ID of the last event that was read. The stream goes on after it, or begins with the event reset.").
			gives(Events(""))},
		{"POST /v1/jobs", leader, fsm.Operator, s.submit, about("addJob", "Add a job; it starts at once").
			takes(JobDescription{}).alsoAs(yamlMedia).gives(Created{}).as(http.StatusCreated).saysWhere().fails(conflict)},
		{"GET /v1/jobs", preferred, fsm.Viewer, s.listJobs, about("listJobs", "Jobs, ordered by ID").paged("after", "string").waiting().gives(JobList{})},
		{"GET /v1/jobs/{id}", preferred, fsm.Viewer, s.showJob, about("showJob", "Where a job stands").waiting().gives(Job{}).fails(absent)},
		{"DELETE /v1/jobs/{id}", leader, fsm.Operator, s.removeJob, about("removeJob", "Forget a job that is not running; objects are left alone").
			mayTake(Reason{}).gives(Removed{}).fails(absent, conflict)},
		{"GET /v1/jobs/{id}/errors", here, fsm.Viewer, s.listErrors, about("listErrors", "Failed keys of a job").
			inPages().gives(ErrorList{}).fails(absent, conflict)},
		{"GET /v1/jobs/{id}/records", here, fsm.Viewer, s.listRecords, about("listRecords", "What became of each object, from the records of all nodes").
			inPages().gives(RecordList{}).fails(absent, conflict)},
		{"GET /v1/jobs/{id}/report", here, fsm.Viewer, s.showTotals, about("showReport", "Sums of a job, and what the records of this page show: those of all pages add up").
			inPages().gives(Totals{}).fails(absent, conflict)},
		{"GET /v1/jobs/{id}/why", here, fsm.Viewer, s.traceKey, about("traceKey", "Everything known of one object").
			with("key", "query", "string", "The key, relative to the source.").
			with("key_base64", "query", "string", "The bytes of the key in base64, where it is not text.").
			inPages().gives(Trace{}).fails(absent, conflict)},
		{"GET /v1/jobs/{id}/rates", here, fsm.Viewer, s.showJobRates, ofRates(about("showJobRates", "How fast a job went, over all nodes")).
			gives(JobRates{}).fails(absent)},
		{"GET /v1/jobs/{id}/spec", preferred, fsm.Viewer, s.showSpec, about("showSpec", "The description of a job, secrets masked").
			gives(JobDescription{}).saysRevision().fails(absent)},
		{"PUT /v1/jobs/{id}/spec", leader, fsm.Operator, s.editJob, about("editJob", "Replace the description of a job; a secret left masked stays").
			takes(JobDescription{}).alsoAs(yamlMedia).
			with("If-Match", "header", "string", "The ETag of the description that the change was made of, or * for whatever is there.").
			gives(Edited{}).fails(absent, conflict, outdate, unnamed)},
		{"POST /v1/preview", here, fsm.Operator, s.preview, about("previewJob", "What stands at the destination of a job that is to be added; adds nothing").
			takes(JobDescription{}).alsoAs(yamlMedia).gives(Preview{})},
		{segmentsPattern, here, fsm.Operator, s.putSegment, about("putSegment", "Store a part of a list, which a job that is added within an hour names").
			takes(Segment(nil)).only(bytesMedia).gives(Stored{}).fails(absent)},
		{"GET /v1/machines", preferred, fsm.Viewer, s.listMachines, about("listNodes", "The nodes of the cluster").gives(Machines{})},
		{"GET /v1/machines/{id}/tasks", preferred, fsm.Viewer, s.listMachineTasks, about("listTasks", "The tasks that a node holds").gives(MachineTasks{}).fails(absent)},
		{"POST /v1/machines/{id}/drain", leader, fsm.Operator, s.drain(true), about("drainNode", "Give a node no more work").gives(Machines{}).fails(absent)},
		{"POST /v1/machines/{id}/undrain", leader, fsm.Operator, s.drain(false), about("undrainNode", "Give a node work again").gives(Machines{}).fails(absent)},
		{"GET /v1/rates", here, fsm.Viewer, s.showRates, ofRates(about("showRates", "How fast endpoints gave and took")).
			with("node", "query", "string", "ID of the node whose traffic counts; without it that of all counts.").gives(EndpointRates{}).fails(absent)},
		{"GET /v1/node", here, fsm.Viewer, s.showNode, about("showNode", "Which node answers").gives(Self{})},
		{"POST /v1/node/stop", here, fsm.Admin, s.stopNode, about("stopNode", "Stop the node that answers; it stays a member").gives(Self{}).as(http.StatusAccepted)},
		{"POST /v1/node/leave", here, fsm.Admin, s.leaveNode, about("leaveNode", "Have the node that answers leave the cluster and stop").
			gives(Self{}).as(http.StatusAccepted).fails(conflict)},
		{"GET /v1/settings", here, fsm.Viewer, s.showSettings, about("showSettings", "The settings of the cluster").gives(SettingList{})},
		{"GET /v1/state", here, fsm.Viewer, s.hashState, about("hashState", "A hash of the state as this node has it").gives(StateHash{})},
		{"PUT /v1/settings", leader, fsm.Admin, s.changeSettings, about("changeSettings", "Change settings").takes(SettingChange{}).gives(SettingList{})},
		{"GET /v1/notices", preferred, fsm.Viewer, s.showNotices, about("showNotices", "How people are told of what happens, and what waits to be told").gives(NoticeStatus{})},
		{"POST /v1/notices/test", leader, fsm.Admin, s.testNotices, about("testNotices", "Send a test message at once, by mail or to a webhook").
			mayTake(NoticeTest{}).gives(NoticeTests{}).patiently(testPatience)},
		{"GET /v1/tokens", preferred, fsm.Admin, s.listTokens, about("listTokens", "Tokens, ordered by name").paged("after", "string").gives(TokenList{})},
		{"POST " + tokensPath, leader, fsm.Admin, s.addToken, about("addToken", "Make a token, which is told this once").
			takes(NewToken{}).gives(MadeToken{}).as(http.StatusCreated).fails(conflict)},
		{"DELETE /v1/tokens/{name}", leader, fsm.Admin, s.removeToken, about("removeToken", "Forget a token").gives(Created{}).fails(absent)},
		{"GET /v1/history", preferred, fsm.Operator, s.showHistory, about("showHistory", "Who did what, the oldest first").paged("after", "integer").gives(History{})},
		{"POST /v1/history", leader, peers, s.addEvent, about("addEvent", "Record what was done to another node").takes(noted{}).gives(Created{})},
		{"GET " + keysPath, preferred, fsm.Admin, s.showKey, about("showKey", "Which cluster keys the nodes have, and what a change of the key waits for").gives(KeyStatus{}).fails(conflict)},
		{"GET " + indexPath, leader, peers, s.showIndex, about("showIndex", "How far the leader's state is").gives(Freshness{})},
	}
	for _, step := range keySteps() {
		routes = append(routes, route{"POST " + keysPath + "/" + step.name, leader, fsm.Admin, s.stepKey(step),
			about(step.name+"Key", step.summary).mayTake(KeyStep{}).gives(KeyStatus{}).fails(conflict)})
	}
	summary := map[string]string{
		"pause": "Stop a job; it can be continued", "continue": "Let a paused job go on", "redo": "Start a job afresh that is not running",
		"retry": "Copy what failed once more",
	}
	for _, v := range verbs() {
		routes = append(routes, route{"POST /v1/jobs/{id}/" + v.name, leader, fsm.Operator, s.verb(v),
			about(v.name+"Job", summary[v.name]).mayTake(Reason{}).gives(Job{}).fails(absent, conflict)})
	}
	return routes
}

// ofRates says which time an answer about rates is of.
func ofRates(o operation) operation {
	return o.with("since", "query", "string", "From when on: a time, or how long ago (90m). Kept are two weeks at most.").
		with("step", "query", "string", "A multiple of 10s up to 24h. Steps of 10s are kept for an hour, of 1m for a day; without it the finest that reaches back to since.")
}
