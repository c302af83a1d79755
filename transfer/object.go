package transfer

import (
	"github.com/bucketbrigade/brigade/transfer/store"
)

// Outcome is what finally became of one object.
type Outcome string

// The outcomes; each object ends in exactly one.
const (
	Copied   Outcome = "copied"
	Skipped  Outcome = "skipped"  // already there
	Filtered Outcome = "filtered" // excluded by rule
	Vanished Outcome = "vanished" // gone from the source before it could be read
	Changed  Outcome = "changed"  // changed at the source during every attempt
	Failed   Outcome = "failed"
)

// Result tells how one object was copied and what was shown of it.
type Result struct {
	Outcome     Outcome
	Err         error           // of Failed and Changed
	Moved       int64           // bytes sent to the destination, attempts included
	Source      store.Object    // the version that was copied
	Destination store.Object    // as the store acknowledged it
	Sums        store.Checksums // of the bytes that passed here
	// What was compared, by the name of the sum; "" where nothing was.
	SourceChecked string // bytes read = what the source reports
	SentChecked   string // bytes sent = what the destination reports
	How           string // put, stream, multipart, ranged, server-side
	Parts         int
	Attempts      int
	// Found: a write was refused because the destination held an equal object by then; nothing was written.
	Found bool
	// Lost is what the destination did not keep of what was to be kept.
	Lost []store.Loss
}
