// Package api is the HTTP interface of a node: the handlers under /v1, the documents that they exchange, and the Go client
// that the command line uses.
package api
