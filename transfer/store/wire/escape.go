package wire

// EscapePath percent-encodes all bytes but unreserved ones and "/", as signatures of S3 want it
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, UriEncode).
func EscapePath(path string) string { return escape(path, true) }

// EscapeQuery does the same to a name or value of a query, where "/" is encoded too.
func EscapeQuery(value string) string { return escape(value, false) }

func escape(text string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	extra := 0
	for i := range len(text) {
		if !plain(text[i], keepSlash) {
			extra += 2
		}
	}
	if extra == 0 {
		return text
	}
	out := make([]byte, 0, len(text)+extra)
	for i := range len(text) {
		if c := text[i]; plain(c, keepSlash) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

func plain(c byte, keepSlash bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	case c == '-', c == '_', c == '.', c == '~':
		return true
	}
	return c == '/' && keepSlash
}
