// Package metrics makes what a node knows of itself and of its cluster readable for Prometheus.
//
// Each node has a registry of its own. What is counted while it happens, such as requests to stores, Metrics is told through
// the interfaces of the packages that do it; what is known anyway, such as the jobs, is read when somebody asks. Labels hold
// neither keys nor secrets nor whole URLs, and there are bounds on how many values each has.
package metrics
