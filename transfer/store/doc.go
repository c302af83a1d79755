// Package store defines what Brigade needs of a place where objects live: a small Source and Destination, abilities
// found by type assertion, and error classes. One folder below holds one provider; a provider imports this package and
// its SDK only, and passes the suite in storetest.
//
// Keys are bytes in a Go string, relative to the root that the store was opened at (bucket plus prefix, or a
// directory), so the same key names the same object on both sides of a job.
package store
