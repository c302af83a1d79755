// Package transfer scans, compares, copies and verifies one range of keys or one list of keys: everything between two
// stores that happens inside a task. It knows nothing of clusters: it asks a Lease before it writes, reports what is
// settled to a Ledger, and keeps segments in a Spool.
package transfer
