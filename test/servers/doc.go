// Package servers starts real servers for tests, each on a free port of the loopback interface and on folders of its
// own, and ends them by process when the test ends. A server that is not installed fails the test, it never skips it.
package servers
