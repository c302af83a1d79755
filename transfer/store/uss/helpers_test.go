package uss

import (
	"encoding/hex"
	"time"
)

// sometime is when files of tests were written.
var sometime = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func hexOf(b []byte) string { return hex.EncodeToString(b) }
