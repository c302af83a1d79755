// Package throughput remembers how much a node moved, and when: for each job and each endpoint a bounded ring of counts in
// steps of time, fine for what is recent and coarse for what is long ago. It has no clock and no goroutine of its own.
//
// Memory is fixed: a series takes at most SeriesBytes, a Book holds at most MaxJobs and MaxEndpoints of them, which is under
// 9 MiB in all. What is kept are counts, not rates, so that steps can be added up without a loss.
package throughput
