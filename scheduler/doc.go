// Package scheduler hands out work. Its leader side grants tasks of the replicated state to nodes, keeps their leases,
// gathers what they report into few log entries, starts and finishes passes, and folds long segment lists. Its worker
// side runs granted tasks with package transfer and fences itself once its lease is lost.
//
// Workers call the leader, never the reverse, and by one call: Sync. DESIGN.md beside this file tells the rest.
package scheduler
