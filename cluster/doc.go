// Package cluster keeps a node's part of the cluster: the raft log and the state machine fed from it, the data
// directory, the spool of segments, and the key that seals secrets. It knows neither jobs nor tasks.
package cluster
