// Package notify tells people what they must know: it makes messages of notices, in English and Chinese, and sends them by mail
// and to webhooks. It knows nothing of clusters; what to tell, when, and to whom is decided by its caller.
package notify
