package fsm

import (
	"bytes"
	"fmt"
	"strings"
)

// Bounds of what one command may bring into the state.
const (
	maxKey        = 4 << 10 // bytes of a key; stores allow 1,024, paths 4,096
	maxName       = 256     // bytes of a node's name or an error class
	maxUploadID   = 1 << 10 // bytes
	maxReason     = 1000    // bytes; longer reasons are cut
	maxClasses    = 64      // error classes a job counts apart
	maxUploads    = 10000   // uploads of one task
	maxCount      = 1 << 56 // one difference of a counter
	maxSettings   = 256     // settings of the cluster
	maxSetting    = 64      // bytes of a setting's name
	maxValue      = 4 << 10 // bytes of a setting's value
	maxPlace      = 1 << 15 // bytes of what one side of a job is
	maxNodes      = 1024    // nodes that something is said of
	clusterIDSize = 16
	nonceSize     = 16
	nameSize      = 32 // of a segment, as of every SHA-256
	sumSize       = 8  // of a CRC64, the longest sum of parts
	maxParts      = 1 << 20
	maxShares     = 256 // of one upload
	otherClasses  = "other"
	listingClass  = "listing" // of ranges lost because listings disagree
	failuresClass = "failures"
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// validJobID tells whether an ID is 1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen.
func validJobID(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func validType(t string) bool { return t == "copy" || t == "verify" || t == "list" }

func checkSegment(s *Segment) error {
	if len(s.Name) != nameSize || s.Lines <= 0 {
		return invalid("segment of %d name bytes and %d lines", len(s.Name), s.Lines)
	}
	return nil
}

func checkKey(key []byte) error {
	if len(key) == 0 || len(key) > maxKey {
		return invalid("key of %d bytes", len(key))
	}
	return nil
}

func checkDigest(d []byte) error {
	if len(d) != 0 && len(d) != digestSize {
		return invalid("digest of %d bytes", len(d))
	}
	return nil
}

// short cuts a text that came from an error message, at a character's bound.
func short(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
	}
	return strings.ToValidUTF8(s, "")
}

// before tells whether bound a lies below the upper bound b, where empty means no end.
func before(a, end []byte) bool { return len(end) == 0 || bytes.Compare(a, end) < 0 }

// fields are the counters one by one.
func (c Counts) fields() [17]int64 {
	return [...]int64{
		c.Listed, c.Copied, c.Skipped, c.Filtered, c.Vanished, c.Changed, c.Failed, c.Recovered, c.Verified, c.Extra,
		c.Deleted, c.Lossy, c.BytesListed, c.BytesFound, c.BytesCopied, c.BytesSkipped, c.BytesMoved,
	}
}

// within tells whether every counter lies in [low, high].
func (c Counts) within(low, high int64) bool {
	for _, n := range c.fields() {
		if n < low || n > high {
			return false
		}
	}
	return true
}
