package store

import (
	"net/http"
	"strconv"
	"time"
)

// maxRetryAfter bounds what a server can make the caller wait.
const maxRetryAfter = 10 * time.Minute

// RetryAfter reads Retry-After: seconds or an HTTP date (RFC 9110, section 10.2.3).
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if sec, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(sec)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}
