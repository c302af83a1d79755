// Package cluster keeps a node's part of the cluster: the raft log and the state machine fed from it, the members and the
// port between them, the data directory, the spool of segments, and the key that all secrets come from. It knows neither
// jobs nor tasks.
package cluster
